"""API keys: create, list, rotate and revoke them, and read those that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

from sessionhistory_server.credentials.errors import (
    api_key_not_found,
    api_key_without_secret,
    too_many_api_keys,
)
from sessionhistory_server.errors import NotFoundError
from sessionhistory_server.limits import MAX_API_KEYS, MAX_API_KEYS_OF_TENANT
from sessionhistory_server.model.api_key import ApiKey, CertificateNameTakenError
from sessionhistory_server.store import generations
from sessionhistory_server.store.columns.times import timestamp
from sessionhistory_server.store.session_ref import OWNED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from sessionhistory_server.model.api_key import ApiKeyFields
    from sessionhistory_server.store.postgres.connection import Connection

PAGE_CHANGES: Final = 1_000
"""The maximum number of changed keys that one statement reads."""

_COLUMNS: Final = ", ".join(ApiKey._fields)

_COUNT: Final = """
select count(*), count(*) filter (where tenant_id = %(tenant_id)s::text) from api_keys
where revoke_time is null
"""

_FORGET: Final = "delete from api_keys where revoke_time < now() - interval '90 days'"

# A registered certificate has an empty hash, which no secret has.
_CREATE: Final = f"""
insert into api_keys (
    api_key_id, tenant_id, display_name, scopes, user_id, application_id, require_user_id, expire_time,
    secret_hash, certificate_name, create_time, generation
) values (
    %(api_key_id)s::text, %(tenant_id)s::text, %(display_name)s::text, %(scopes)s::text[], %(user_id)s::text,
    %(application_id)s::text, %(require_user_id)s::boolean, %(expire_time)s::timestamptz,
    decode(%(secret_hash)s::text, 'hex'), %(certificate_name)s::text, now(), %(generation)s::bigint
)
returning {_COLUMNS}
"""

_REGISTERED: Final = """
select tenant_id, api_key_id from api_keys
where certificate_name = %(certificate_name)s::text and revoke_time is null
"""

# coalesce: the planner finds the row by its id, not among all keys of the tenant.
_NAMED: Final = f"""api_key_id = %(api_key_id)s::text
  and coalesce(tenant_id = %(tenant_id)s::text, false) and {OWNED}"""

_ROTATE: Final = f"""
update api_keys
set previous_secret_hash = secret_hash, previous_secret_expire_time = now() + %(overlap)s::interval,
    secret_hash = decode(%(secret_hash)s::text, 'hex'),
    expire_time = coalesce(%(expire_time)s::timestamptz, expire_time),
    generation = %(generation)s::bigint
where {_NAMED} and revoke_time is null and certificate_name is null
returning {_COLUMNS}
"""

_HAS_SECRET: Final = f"""
select certificate_name is null from api_keys where {_NAMED} and revoke_time is null
"""

# (select now()): Citus allows no now() in a coalesce of an update.
_REVOKE: Final = f"""
update api_keys
set revoke_time = coalesce(revoke_time, (select now())), generation = %(generation)s::bigint
where {_NAMED}
returning {_COLUMNS}
"""

_LIST: Final = f"""
select {_COLUMNS} from api_keys
where tenant_id = %(tenant_id)s::text and {OWNED} and (%(show_revoked)s::boolean or revoke_time is null)
  and (%(time)s::timestamptz is null
       or (create_time, api_key_id) < (%(time)s::timestamptz, %(after_id)s::text))
order by create_time desc, api_key_id desc
limit %(limit)s::bigint
"""

_CHANGED: Final = f"""
select api_key_id, tenant_id, scopes, user_id, application_id, require_user_id, revoke_time is not null,
       secret_hash, coalesce(previous_secret_hash, ''), extract(epoch from expire_time)::float8,
       extract(epoch from previous_secret_expire_time)::float8, certificate_name, generation
from api_keys
where generation > %(after)s::bigint
order by generation
limit {PAGE_CHANGES}
"""

_NOTE_USES: Final = """
update api_keys
set last_use_time = to_timestamp(used.seconds)
from unnest(%(ids)s::text[], %(times)s::float8[]) as used (id, seconds)
where api_key_id = used.id and coalesce(last_use_time < to_timestamp(used.seconds), true)
"""


class KeyOwner(NamedTuple):
    """The tenant of keys, and the binding of the caller that manages them, under the names of ``OWNED``."""

    tenant_id: str
    user_id: str | None
    bound_application_id: str | None


class ChangedKey(NamedTuple):
    """A key that has changed, with the hashes of its secrets. Times are in seconds since the Unix epoch."""

    api_key_id: str
    tenant_id: str
    scopes: list[str]
    user_id: str | None
    application_id: str | None
    require_user_id: bool
    is_revoked: bool
    secret_hash: bytes
    previous_secret_hash: bytes
    """Empty if the key was never rotated."""
    expire_time: float | None
    previous_secret_expire_time: float | None
    certificate_name: str | None
    """In place of a secret."""
    generation: int


async def create(
    connection: Connection,
    owner: KeyOwner,
    api_key_id: str,
    fields: ApiKeyFields,
    *,
    secret_hash: bytes = b"",
    certificate_name: str | None = None,
) -> ApiKey:
    """Create a key with a secret or the name of a certificate, and remove keys that were revoked long ago.

    Raises:
        FailedPreconditionError: there are too many keys.
        CertificateNameTakenError: another key, of any tenant, has the name of the certificate.
    """
    async with connection.transaction():
        generation = await generations.take_next(connection)
        await connection.fetch(_FORGET, {})
        ((of_all, of_tenant),) = await connection.fetch(_COUNT, {"tenant_id": owner.tenant_id})
        if of_tenant >= MAX_API_KEYS_OF_TENANT:
            raise too_many_api_keys(MAX_API_KEYS_OF_TENANT, of_tenant=True)
        if of_all >= MAX_API_KEYS:
            raise too_many_api_keys(MAX_API_KEYS, of_tenant=False)
        if certificate_name is not None:
            await _require_unregistered(connection, certificate_name)
        parameters = fields._asdict() | {
            "api_key_id": api_key_id,
            "tenant_id": owner.tenant_id,
            "scopes": list(fields.scopes),
            "expire_time": timestamp(fields.expire_time),
            "secret_hash": secret_hash.hex(),
            "certificate_name": certificate_name,
            "generation": generation,
        }
        (row,) = await connection.fetch(_CREATE, parameters)
    return _key_of(row)


async def rotate(
    connection: Connection,
    owner: KeyOwner,
    api_key_id: str,
    secret_hash: bytes,
    *,
    overlap: timedelta,
    expire_time: int | None,
) -> ApiKey:
    """Give a key another secret; the previous one is accepted for ``overlap``.

    Raises:
        NotFoundError: the owner has no such key, or it is revoked.
        FailedPreconditionError: the key has the name of a certificate in place of a secret.
    """
    new = {"secret_hash": secret_hash.hex(), "overlap": overlap, "expire_time": timestamp(expire_time)}
    try:
        return await _change(connection, _ROTATE, owner, api_key_id, new)
    except NotFoundError:
        named = owner._asdict() | {"api_key_id": api_key_id}
        if await connection.fetch(_HAS_SECRET, named) == [(False,)]:
            raise api_key_without_secret(api_key_id) from None
        raise


async def revoke(connection: Connection, owner: KeyOwner, api_key_id: str) -> ApiKey:
    """Revoke a key. A second time changes nothing.

    Raises:
        NotFoundError: the owner has no such key.
    """
    return await _change(connection, _REVOKE, owner, api_key_id, {})


async def find(
    connection: Connection,
    owner: KeyOwner,
    after: tuple[int, str] | None,
    *,
    show_revoked: bool,
    page_size: int,
) -> tuple[list[ApiKey], bool]:
    """Return a page of keys, the newest first, and whether more follow.

    Args:
        connection: The connection.
        owner: The owner of the keys.
        after: The creation time and the id of the previous page's last key.
        show_revoked: Whether revoked keys are part of the list.
        page_size: The number of keys at most.
    """
    time, after_id = after or (None, None)
    position = {"time": timestamp(time), "after_id": after_id}
    parameters = owner._asdict() | position | {"show_revoked": show_revoked, "limit": page_size + 1}
    rows = await connection.fetch(_LIST, parameters)
    return [_key_of(row) for row in rows[:page_size]], len(rows) > page_size


async def changed(connection: Connection, after: int) -> list[ChangedKey]:
    """Return the next changed keys after a generation, at most ``PAGE_CHANGES``, in their order."""
    return [ChangedKey(*row) for row in await connection.fetch(_CHANGED, {"after": after})]


async def note_uses(connection: Connection, uses: Mapping[str, float]) -> None:
    """Store when keys were last used: for each id the time, in seconds since the Unix epoch."""
    await connection.fetch(_NOTE_USES, {"ids": list(uses), "times": list(uses.values())})


async def _require_unregistered(connection: Connection, certificate_name: str) -> None:
    for tenant_id, api_key_id in await connection.fetch(_REGISTERED, {"certificate_name": certificate_name}):
        raise CertificateNameTakenError(
            f"the name {certificate_name} is registered as the key {api_key_id} of the tenant {tenant_id!r}:"
            " revoke that one first"
        )


async def _change(
    connection: Connection, statement: LiteralString, owner: KeyOwner, api_key_id: str, new: dict[str, Any]
) -> ApiKey:
    async with connection.transaction():
        generation = await generations.take_next(connection)
        named = owner._asdict() | {"api_key_id": api_key_id, "generation": generation}
        found = await connection.fetch(statement, named | new)
        if not found:
            raise api_key_not_found(api_key_id)
    return _key_of(found[0])


def _key_of(row: tuple[Any, ...]) -> ApiKey:
    key = ApiKey(*row)
    return key._replace(scopes=tuple(key.scopes))
