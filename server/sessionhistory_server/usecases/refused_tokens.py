"""The use cases of refused tokens, and the refusals in the memory of a worker."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from sessionhistory_server.errors import application_mismatch
from sessionhistory_server.limits import MAX_LEEWAY_SECONDS
from sessionhistory_server.store import refused_tokens

if TYPE_CHECKING:
    from sessionhistory_server.credentials.identity import Identity
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.model.refused_token import RefusedToken
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.usecases.paging import PageTokens

_POSITION: Final = "!q"


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
        """Refuse a token; if the caller is bound to a user, only a token of this user.

        Raises:
            PermissionDeniedError: the caller is bound to an application, which no token is.
            FailedPreconditionError: too many tokens are refused.
        """
        _require_no_application(caller)
        refuse = partial(
            refused_tokens.refuse,
            tenant_id=caller.tenant_id,
            user_id=caller.user_id,
            token_id=token_id,
            expire_time=expire_time,
        )
        return await self._database.write(refuse)

    async def find(
        self, caller: Caller, *, page_size: int, page_token: str
    ) -> tuple[list[RefusedToken], str]:
        """Return a page of the tenant's refusals, the last first, and the token of the next page.

        A caller that is bound to a user gets the refusals for this user only.

        Raises:
            PermissionDeniedError: the caller is bound to an application, which no token is.
        """
        _require_no_application(caller)
        arguments = ("refused tokens",)
        position = await self._page_tokens.decode(caller, arguments, _POSITION, page_token)
        find = partial(
            refused_tokens.find,
            tenant_id=caller.tenant_id,
            user_id=caller.user_id,
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
        self._ends: dict[tuple[str, str, str], float] = {}
        """By tenant, user (empty: any) and token: when the refusal is no longer needed."""
        self.are_read = False
        """Whether they were read once. Before that, no token may be accepted."""

    def refuse(self, identity: Identity) -> bool:
        """Return whether the token of an identity is refused."""
        if not self._ends:
            return False
        tenant_id, token_id = identity.tenant_id, identity.credential_id or ""
        of_any = (tenant_id, "", token_id) in self._ends
        return of_any or (tenant_id, identity.user_id or "", token_id) in self._ends

    async def read_all(self) -> None:
        """Replace all refusals in memory."""
        self._ends = await self._changes_after(0)
        self.are_read = True

    async def read_changes(self, after: int) -> None:
        """Apply the changes after a generation, and forget the refusals of tokens that have expired."""
        now = time.time()
        held = {key: end for key, end in self._ends.items() if end > now}
        self._ends = held | await self._changes_after(after)

    async def _changes_after(self, after: int) -> dict[tuple[str, str, str], float]:
        found: dict[tuple[str, str, str], float] = {}
        while changes := await self._database.read(partial(refused_tokens.changed, after=after)):
            for each in changes:
                key = (each.tenant_id, each.user_id, each.token_id)
                found[key] = each.expire_time + MAX_LEEWAY_SECONDS
            after = changes[-1].generation
        return found


def _require_no_application(caller: Caller) -> None:
    if caller.application_id is not None:
        raise application_mismatch()
