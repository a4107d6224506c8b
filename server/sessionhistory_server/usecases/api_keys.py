"""The use cases of API keys: create, list, rotate and revoke them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from sessionhistory_server.credentials import api_keys as key_text
from sessionhistory_server.store import api_keys
from sessionhistory_server.store.api_keys import KeyOwner
from sessionhistory_server.usecases import direct
from sessionhistory_server.usecases.binding import application_for, user_for
from sessionhistory_server.usecases.paging import PageTokens
from sessionhistory_server.usecases.signing import Signing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from sessionhistory_server.model.api_key import ApiKey, ApiKeyFields
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.store.postgres.database import Database

T = TypeVar("T")

_POSITION: Final = "!q16s"


class ApiKeys:
    """The use cases of the API keys of a tenant.

    Args:
        database: The database of the keys.
        page_tokens: Signs the tokens of pages.
    """

    def __init__(self, database: Database, page_tokens: PageTokens) -> None:
        self._database = database
        self._page_tokens = page_tokens

    async def create(self, caller: Caller, fields: ApiKeyFields) -> tuple[ApiKey, str]:
        """Create a key; return it and its text, which contains the secret.

        Raises:
            PermissionDeniedError: the caller is bound to another user or application.
            FailedPreconditionError: there are too many keys.
        """
        fields = fields._replace(
            user_id=user_for(caller, fields.user_id),
            application_id=application_for(caller, fields.application_id),
        )
        key_id = key_text.new_id()
        secret = key_text.new_key(key_id)
        create = partial(
            api_keys.create,
            owner=_owner(caller),
            api_key_id=key_id,
            fields=fields,
            secret_hash=_hash_of(secret),
        )
        return await self._database.write(create), secret

    async def register_certificate(self, caller: Caller, name: str, fields: ApiKeyFields) -> ApiKey:
        """Register a name in client certificates as a key without a secret.

        No RPC calls this: an admin of one tenant could register the name of another tenant's service, and
        receive its data.

        Args:
            caller: The tenant of the key.
            name: The name in its normal form.
            fields: The rights of the key.

        Raises:
            CertificateNameTakenError: the name is registered, for this tenant or another one.
            FailedPreconditionError: there are too many keys.
        """
        create = partial(
            api_keys.create,
            owner=_owner(caller),
            api_key_id=key_text.new_id(),
            fields=fields,
            certificate_name=name,
        )
        return await self._database.write(create)

    async def find(
        self, caller: Caller, *, show_revoked: bool, page_size: int, page_token: str
    ) -> tuple[list[ApiKey], str]:
        """Return a page of the caller's keys, the newest first, and the token of the next page."""
        arguments = ("api keys", show_revoked)
        position = await self._page_tokens.decode(caller, arguments, _POSITION, page_token)
        find = partial(
            api_keys.find,
            owner=_owner(caller),
            after=(position[0], position[1].decode()) if position else None,
            show_revoked=show_revoked,
            page_size=page_size,
        )
        found, more = await self._database.read(find)
        if not more:
            return found, ""
        end = (found[-1].create_time, found[-1].api_key_id.encode())
        return found, await self._page_tokens.encode(caller, arguments, _POSITION, end)

    async def rotate(
        self, caller: Caller, api_key_id: str, *, overlap: timedelta, expire_time: int | None
    ) -> tuple[ApiKey, str]:
        """Give a key another secret; return the key and its new text.

        Raises:
            NotFoundError: there is no such key for this caller, or it is revoked.
            FailedPreconditionError: it has the name of a certificate in place of a secret.
        """
        secret = key_text.new_key(api_key_id)
        rotate = partial(
            api_keys.rotate,
            owner=_owner(caller),
            api_key_id=api_key_id,
            secret_hash=_hash_of(secret),
            overlap=overlap,
            expire_time=expire_time,
        )
        return await self._database.write(rotate), secret

    async def revoke(self, caller: Caller, api_key_id: str) -> ApiKey:
        """Revoke a key.

        Raises:
            NotFoundError: there is no such key for this caller.
        """
        return await self._database.write(
            partial(api_keys.revoke, owner=_owner(caller), api_key_id=api_key_id)
        )


async def managing(url: str, work: Callable[[ApiKeys], Awaitable[T]]) -> T:
    """Run work on the keys of a database, for a command that has no server.

    Raises:
        psycopg.Error: the database cannot be reached.
        UnavailableError: its schema is too old, or it takes no writes.
    """
    async with direct.opened(url) as database:
        return await work(ApiKeys(database, PageTokens(Signing(database))))


def _owner(caller: Caller) -> KeyOwner:
    return KeyOwner(caller.tenant_id, caller.user_id, caller.application_id)


def _hash_of(text: str) -> bytes:
    parsed = key_text.parse(text)
    assert parsed is not None  # noqa: S101 - this module made the text
    return parsed.secret_hash
