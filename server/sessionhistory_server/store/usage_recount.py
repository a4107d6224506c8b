"""Count the sessions and bytes of tenants and users again, in bounded steps.

One server at a time recounts. It claims the recount, and adds corrections only while the claim is its own.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

from sessionhistory_server.store import usage
from sessionhistory_server.store.columns.times import timestamp
from sessionhistory_server.store.usage import NOTHING, Owner, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta

    from sessionhistory_server.store.postgres.connection import Connection, Row

PAGE_SESSIONS: Final = 2_000
PAGE_COUNTS: Final = usage.MAX_AT_ONCE

_IS_CLAIMED: Final = "select true from usage_recounts where active_time > now() - %(age)s::interval"

# excluded: Citus allows no now() in the update of a conflict.
_CLAIM: Final = """
insert into usage_recounts (only_row, claim, active_time) values (true, 1, now())
on conflict (only_row) do update
set claim = usage_recounts.claim + 1, active_time = excluded.active_time
returning claim
"""

_RENEW: Final = """
update usage_recounts set active_time = now() where only_row and claim = %(claim)s::bigint returning true
"""

_NEXT_TENANT: Final = "select min(tenant_id) from sessions where tenant_id > %(after)s::text"

_NEXT_COUNTED_TENANT: Final = "select min(tenant_id) from tenant_usage where tenant_id > %(after)s::text"

_COLUMNS: Final = """user_id, create_time, session_key::text as key, unpinned_bytes,
       pinned_count > 0, compacted_through_sequence > 0"""

_IN_ORDER: Final = "order by user_id, create_time, session_key limit %(limit)s::bigint"

_OF_USERS: Final = f"""
select {_COLUMNS} from sessions
where tenant_id = %(tenant_id)s::text
  and (user_id, create_time, session_key)
      > (%(user_id)s::text, %(time)s::timestamptz, %(session_key)s::uuid)
{_IN_ORDER}
"""

_OF_USER: Final = f"""
select {_COLUMNS} from sessions
where tenant_id = %(tenant_id)s::text and user_id = %(user_id)s::text
  and (create_time, session_key) > (%(time)s::timestamptz, %(session_key)s::uuid)
{_IN_ORDER}
"""

_WITHOUT_USER: Final = f"""
select {_COLUMNS} from sessions
where tenant_id = %(tenant_id)s::text and user_id is null
  and (create_time, session_key) > (%(time)s::timestamptz, %(session_key)s::uuid)
{_IN_ORDER}
"""

_PINNED_BYTES: Final = """
select session_key::text as key, sum(size_bytes)::bigint from messages
where session_key = any(%(keys)s::uuid[]) and pinned
group by session_key
"""

_SUMMARY_BYTES: Final = """
select session_key::text as key, sum(size_bytes)::bigint from summaries
where session_key = any(%(keys)s::uuid[])
group by session_key
"""

_COUNTS: Final = """
select user_id, sessions, bytes from user_usage
where tenant_id = %(tenant_id)s::text and user_id > %(after)s::text
  and (%(through)s::text is null or user_id <= %(through)s::text)
order by user_id
limit %(limit)s::bigint
"""

# The row of the tenant is locked first, as usage.add does, so that the two cannot deadlock.
_FORGET: Final = (
    "select true from tenant_usage where tenant_id = %(tenant_id)s::text for update",
    "delete from user_usage where tenant_id = %(tenant_id)s::text and sessions = 0 and bytes = 0",
    "delete from tenant_usage where tenant_id = %(tenant_id)s::text and sessions = 0 and bytes = 0",
)


class Position(NamedTuple):
    """The last session of a page, in the order of users and creation."""

    user_id: str = ""
    time: int | None = None
    """``None``: before all sessions of the user."""
    session_key: str = f"{0:032x}"


class Page(NamedTuple):
    """The usage by the next sessions of a tenant, by user in ascending order, and their end."""

    usage: dict[str, Usage]
    end: Position | None
    """``None``: no session follows."""


async def claim(connection: Connection, age: timedelta) -> int | None:
    """Claim the recount; return ``None`` if a server has claimed or renewed it within ``age``.

    The transaction must hold the lock of the job.
    """
    if await connection.fetch(_IS_CLAIMED, {"age": age}):
        return None
    ((claimed,),) = await connection.fetch(_CLAIM, {})
    return int(claimed)


async def correct(connection: Connection, claimed: int, changes: Mapping[Owner, Usage]) -> bool:
    """Renew a claim, and add changes to the counts; return ``False`` if another server has claimed since."""
    async with connection.transaction():
        if not await connection.fetch(_RENEW, {"claim": claimed}):
            return False
        if changes:
            await usage.add(connection, changes)
    return True


async def next_tenant(connection: Connection, after: str) -> str | None:
    """Return the next tenant that has sessions; ``None``: there is none."""
    return await _tenant(connection, _NEXT_TENANT, after)


async def next_counted_tenant(connection: Connection, after: str) -> str | None:
    """Return the next tenant that has a count; ``None``: there is none."""
    return await _tenant(connection, _NEXT_COUNTED_TENANT, after)


async def of_users(connection: Connection, tenant_id: str, after: Position) -> Page:
    """Measure the next sessions of a tenant's users."""
    return await _page(connection, _OF_USERS, tenant_id, after)


async def of_owner(connection: Connection, owner: Owner, after: Position) -> Page:
    """Measure the next sessions of a user, or those that have no user."""
    query = _OF_USER if owner.user_id else _WITHOUT_USER
    return await _page(connection, query, owner.tenant_id, after)


async def counts(connection: Connection, tenant_id: str, after: str, through: str | None) -> dict[str, Usage]:
    """Return the next counts of a tenant's users after one, and through another one if it is given."""
    parameters = {"tenant_id": tenant_id, "after": after, "through": through, "limit": PAGE_COUNTS}
    return {user_id: Usage(*count) for user_id, *count in await connection.fetch(_COUNTS, parameters)}


async def forget_empty(connection: Connection, tenant_id: str) -> None:
    """Remove the counts of a tenant that are zero."""
    async with connection.transaction():
        for statement in _FORGET:
            await connection.fetch(statement, {"tenant_id": tenant_id})


async def _tenant(connection: Connection, query: LiteralString, after: str) -> str | None:
    ((tenant_id,),) = await connection.fetch(query, {"after": after})
    return None if tenant_id is None else str(tenant_id)


async def _page(connection: Connection, query: LiteralString, tenant_id: str, after: Position) -> Page:
    time = "-infinity" if after.time is None else timestamp(after.time)
    parameters: dict[str, Any] = after._asdict() | {"tenant_id": tenant_id, "time": time}
    parameters["limit"] = PAGE_SESSIONS
    rows = await connection.fetch(query, parameters)
    extra = await _extra_bytes(connection, rows)
    measured: dict[str, Usage] = {}
    for user_id, _, key, unpinned_bytes, *_ in rows:
        change = Usage(1, unpinned_bytes + extra[key])
        measured[user_id or ""] = measured.get(user_id or "", NOTHING).plus(change)
    if len(rows) < PAGE_SESSIONS:
        return Page(measured, None)
    user_id, create_time, key, *_ = rows[-1]
    return Page(measured, Position(user_id or "", create_time, key))


async def _extra_bytes(connection: Connection, rows: Iterable[Row]) -> Mapping[str, int]:
    """Return the bytes of pinned messages and of summaries, by session."""
    found: dict[str, int] = defaultdict(int)
    for query, keys in (
        (_PINNED_BYTES, [row[2] for row in rows if row[4]]),
        (_SUMMARY_BYTES, [row[2] for row in rows if row[5]]),
    ):
        if keys:
            for key, size_bytes in await connection.fetch(query, {"keys": keys}):
                found[key] += size_bytes
    return found
