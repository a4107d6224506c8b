"""The use cases of refused tokens, and the refusals in the memory of a worker."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from sessionhistory_server.limits import MAX_LEEWAY_SECONDS
from sessionhistory_server.store import refused_tokens
from sessionhistory_server.store.refused_tokens import TokenOwner

if TYPE_CHECKING:
    from sessionhistory_server.credentials.identity import Identity
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.model.refused_token import RefusedToken
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.usecases.paging import PageTokens

_POSITION: Final = "!q"


_FORGET_SECONDS: Final = 600.0

_Token: TypeAlias = tuple[str, str]
"""A tenant, and the id of a token."""
_Binding: TypeAlias = tuple[str, str]
"""The user and the application whose token alone is refused; empty: any."""


class RefusedTokens:
    """The use cases of the refused tokens of a tenant.

    Args:
        database: The database of the refusals.
        page_tokens: Signs the tokens of pages.
    """

    def __init__(self, database: Database, page_tokens: PageTokens) -> None:
        self._database = database
        self._page_tokens = page_tokens

    async def refuse(self, caller: Caller, token_id: str, expire_time: int) -> RefusedToken:
        """Refuse a token.

        A caller that is bound to a user or an application refuses only tokens with this binding.

        Raises:
            FailedPreconditionError: too many tokens are refused.
        """
        refuse = partial(
            refused_tokens.refuse, owner=_owner(caller), token_id=token_id, expire_time=expire_time
        )
        return await self._database.write(refuse)

    async def find(
        self, caller: Caller, *, page_size: int, page_token: str
    ) -> tuple[list[RefusedToken], str]:
        """Return a page of the tenant's refusals, the last first, and the token of the next page.

        A caller that is bound to a user or an application gets only the refusals with this binding.
        """
        arguments = ("refused tokens",)
        position = await self._page_tokens.decode(caller, arguments, _POSITION, page_token)
        find = partial(
            refused_tokens.find,
            owner=_owner(caller),
            before=position[0] if position else None,
            page_size=page_size,
        )
        found, more = await self._database.read(find)
        if not more:
            return found, ""
        return found, await self._page_tokens.encode(caller, arguments, _POSITION, (found[-1].generation,))


class TokenRefusals:
    """The refused tokens of all tenants, in memory."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ends: dict[_Token, dict[_Binding, float]] = {}
        """When each refusal is no longer needed, in seconds since the Unix epoch."""
        self._forgot_at = time.monotonic()
        self.are_read = False
        """Whether they were read once. Before that, no token may be accepted."""

    def refuses(self, identity: Identity) -> bool:
        """Return whether the token of an identity is refused."""
        bindings = self._ends.get((identity.tenant_id, identity.credential_id or ""))
        if bindings is None:
            return False
        users, applications = {"", identity.user_id}, {"", identity.application_id}
        return any(user in users and application in applications for user, application in bindings)

    async def read_all(self) -> None:
        """Replace all refusals in memory."""
        ends: dict[_Token, dict[_Binding, float]] = {}
        await self._read_into(ends, after=0)
        self._ends, self.are_read = ends, True

    async def read_changes(self, after: int) -> None:
        """Apply the changes after a generation. Every ten minutes, forget tokens that have expired."""
        await self._read_into(self._ends, after)
        if time.monotonic() - self._forgot_at >= _FORGET_SECONDS:
            self._forgot_at, now = time.monotonic(), time.time()
            self._ends = {key: ends for key, ends in self._ends.items() if max(ends.values()) > now}

    async def _read_into(self, ends: dict[_Token, dict[_Binding, float]], after: int) -> None:
        while changes := await self._database.read(partial(refused_tokens.changed, after=after)):
            for each in changes:
                bindings = ends.setdefault((each.tenant_id, each.token_id), {})
                bindings[each.user_id, each.application_id] = each.expire_time + MAX_LEEWAY_SECONDS
            after = changes[-1].generation


def _owner(caller: Caller) -> TokenOwner:
    return TokenOwner(caller.tenant_id, caller.user_id, caller.application_id)
