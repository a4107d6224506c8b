"""Refused tokens: refuse and list them, and read those that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sessionhistory_server.credentials.errors import too_many_refused_tokens
from sessionhistory_server.limits import (
    MAX_LEEWAY_SECONDS,
    MAX_REFUSED_TOKENS,
    MAX_REFUSED_TOKENS_OF_TENANT,
)
from sessionhistory_server.model.refused_token import RefusedToken
from sessionhistory_server.store import generations
from sessionhistory_server.store.columns.times import timestamp

if TYPE_CHECKING:
    from sessionhistory_server.store.postgres.connection import Connection

PAGE_CHANGES: Final = 1_000
"""The maximum number of changed rows that one statement reads."""

# A server may accept a token for this long after its expiry.
_NEEDED: Final = f"expire_time > now() - interval '{MAX_LEEWAY_SECONDS} seconds'"

_COLUMNS: Final = (
    "token_id, nullif(user_id, ''), nullif(application_id, ''), expire_time, refuse_time, generation"
)

_FORGET: Final = f"delete from refused_tokens where not ({_NEEDED})"

_COUNT: Final = """
select count(*), count(*) filter (where tenant_id = %(tenant_id)s::text) from refused_tokens
where (tenant_id, token_id, user_id, application_id)
    <> (%(tenant_id)s::text, %(token_id)s::text, %(user_id)s::text, %(application_id)s::text)
"""

_REFUSE: Final = f"""
insert into refused_tokens (
    tenant_id, token_id, user_id, application_id, expire_time, refuse_time, generation
) values (
    %(tenant_id)s::text, %(token_id)s::text, %(user_id)s::text, %(application_id)s::text,
    %(expire_time)s::timestamptz, now(), %(generation)s::bigint
)
on conflict (tenant_id, token_id, user_id, application_id) do update
set expire_time = greatest(refused_tokens.expire_time, excluded.expire_time), generation = excluded.generation
returning {_COLUMNS}
"""

_LIST: Final = f"""
select {_COLUMNS} from refused_tokens
where tenant_id = %(tenant_id)s::text and (%(user_id)s::text is null or user_id = %(user_id)s::text)
  and (%(application_id)s::text is null or application_id = %(application_id)s::text)
  and (%(before)s::bigint is null or generation < %(before)s::bigint) and {_NEEDED}
order by generation desc
limit %(limit)s::bigint
"""

_CHANGED: Final = f"""
select tenant_id, token_id, user_id, application_id, extract(epoch from expire_time)::float8, generation
from refused_tokens
where generation > %(after)s::bigint and {_NEEDED}
order by generation
limit {PAGE_CHANGES}
"""


class TokenOwner(NamedTuple):
    """The tenant of tokens, and the user and the application that the caller is bound to, if any."""

    tenant_id: str
    user_id: str | None
    application_id: str | None


class Refusal(NamedTuple):
    """A refused token, as a worker holds it."""

    tenant_id: str
    token_id: str
    user_id: str
    """Empty: the token of any user."""
    application_id: str
    """Empty: the token of any application."""
    expire_time: float
    """In seconds since the Unix epoch."""
    generation: int


async def refuse(connection: Connection, owner: TokenOwner, token_id: str, expire_time: int) -> RefusedToken:
    """Refuse a token, and forget those that expired long ago. An earlier expiry changes nothing.

    Raises:
        FailedPreconditionError: too many tokens are refused.
    """
    named = {name: value or "" for name, value in owner._asdict().items()} | {"token_id": token_id}
    async with connection.transaction():
        generation = await generations.take_next(connection)
        await connection.fetch(_FORGET, {})
        ((of_all, of_tenant),) = await connection.fetch(_COUNT, named)
        if of_tenant >= MAX_REFUSED_TOKENS_OF_TENANT:
            raise too_many_refused_tokens(MAX_REFUSED_TOKENS_OF_TENANT, of_tenant=True)
        if of_all >= MAX_REFUSED_TOKENS:
            raise too_many_refused_tokens(MAX_REFUSED_TOKENS, of_tenant=False)
        new = {"expire_time": timestamp(expire_time), "generation": generation}
        (row,) = await connection.fetch(_REFUSE, named | new)
    return RefusedToken(*row)


async def find(
    connection: Connection, owner: TokenOwner, before: int | None, page_size: int
) -> tuple[list[RefusedToken], bool]:
    """Return a page of refused tokens, the last refused first, and whether more follow.

    Args:
        connection: The connection.
        owner: The owner of the tokens.
        before: The generation of the previous page's last token.
        page_size: The number of tokens at most.
    """
    position: dict[str, Any] = {"before": before, "limit": page_size + 1}
    rows = await connection.fetch(_LIST, owner._asdict() | position)
    return [RefusedToken(*row) for row in rows[:page_size]], len(rows) > page_size


async def changed(connection: Connection, after: int) -> list[Refusal]:
    """Return the next refusals after a generation, at most ``PAGE_CHANGES``, in their order."""
    return [Refusal(*row) for row in await connection.fetch(_CHANGED, {"after": after})]
