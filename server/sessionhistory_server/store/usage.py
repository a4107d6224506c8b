"""The sessions and bytes that tenants and users store: measure sessions, and add up counts.

The counts are in rows of their own, which no append writes. Servers add the changes of some seconds at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.store.session_ref import NAMED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Self

    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.session_ref import SessionRef

MAX_AT_ONCE: Final = 1_000
"""The maximum number of counts that one call of ``add`` or ``read`` takes."""

# The row has the bytes of all messages that are not pinned, and every release keeps them. At most 64 messages
# are pinned.
_BYTES: Final = """
unpinned_bytes
+ coalesce((select sum(size_bytes) from messages
            where session_key = %(session_key)s::uuid and pinned)::bigint, 0)
+ coalesce((select sum(size_bytes) from summaries
            where session_key = %(session_key)s::uuid)::bigint, 0)
"""

_MEASURE: Final = f"select user_id, {_BYTES} from sessions where {NAMED}"

# Its own statement: a read in the statement of a lock may see the rows before the lock.
_LOCK: Final = f"select true from sessions where {NAMED} for update"

# In the order of the keys, so that two servers cannot deadlock.
_ADD_TO_TENANTS: Final = """
insert into tenant_usage (tenant_id, sessions, bytes)
select * from unnest(%(tenants)s::text[], %(sessions)s::bigint[], %(bytes)s::bigint[])
    as change (tenant_id, sessions, bytes)
order by tenant_id
on conflict (tenant_id) do update
set sessions = tenant_usage.sessions + excluded.sessions, bytes = tenant_usage.bytes + excluded.bytes
"""

_ADD_TO_USERS: Final = """
insert into user_usage (tenant_id, user_id, sessions, bytes)
select * from unnest(%(tenants)s::text[], %(users)s::text[], %(sessions)s::bigint[], %(bytes)s::bigint[])
    as change (tenant_id, user_id, sessions, bytes)
order by tenant_id, user_id
on conflict (tenant_id, user_id) do update
set sessions = user_usage.sessions + excluded.sessions, bytes = user_usage.bytes + excluded.bytes
"""

_READ: Final = """
select tenant_id, null, sessions, bytes from tenant_usage where tenant_id = any(%(tenants)s::text[])
union all
select tenant_id, user_id, sessions, bytes from user_usage
join unnest(%(owners)s::text[], %(users)s::text[]) as wanted (tenant_id, user_id) using (tenant_id, user_id)
"""


# The constructor of a named tuple is slower.
_new: Final = tuple.__new__


class Usage(NamedTuple):
    """Stored sessions and bytes, or a change of them."""

    sessions: int
    bytes: int

    def plus(self, other: Usage) -> Usage:
        """Return the sum."""
        return _new(Usage, (self[0] + other[0], self[1] + other[1]))

    def minus(self, other: Usage) -> Usage:
        """Return the difference."""
        return _new(Usage, (self[0] - other[0], self[1] - other[1]))


NOTHING: Final = Usage(0, 0)


class Owner(NamedTuple):
    """A user of a tenant; an empty ``user_id`` stands for the sessions without a user."""

    tenant_id: str
    user_id: str

    @classmethod
    def of(cls, tenant_id: str, user_id: str | None) -> Self:
        """Return the owner of a session."""
        return cls(tenant_id, user_id or "")


class Measured(NamedTuple):
    """The user of a session, if it has one, and its bytes."""

    user_id: str | None
    bytes: int


async def measure(connection: Connection, ref: SessionRef, *, lock: bool = False) -> Measured | None:
    """Measure a session, live or not; ``None`` if the caller has none.

    With ``lock`` no other transaction changes it meanwhile.
    """
    if lock and not await connection.fetch(_LOCK, ref._asdict()):
        return None
    found = await connection.fetch(_MEASURE, ref._asdict())
    return Measured(*found[0]) if found else None


async def add(connection: Connection, changes: Mapping[Owner, Usage]) -> None:
    """Add changes to the counts of users and of their tenants."""
    of_tenants: dict[str, Usage] = {}
    for owner, change in changes.items():
        of_tenants[owner.tenant_id] = of_tenants.get(owner.tenant_id, NOTHING).plus(change)
    async with connection.transaction():
        tenants = {"tenants": list(of_tenants)} | _columns(of_tenants.values())
        await connection.fetch(_ADD_TO_TENANTS, tenants)
        await connection.fetch(_ADD_TO_USERS, _owners(changes, "tenants") | _columns(changes.values()))


async def read(connection: Connection, keys: Collection[str | Owner]) -> dict[str | Owner, Usage]:
    """Return the counts of tenants, by their ids, and of users. Those that are missing store nothing."""
    tenants = [key for key in keys if isinstance(key, str)]
    users = [key for key in keys if isinstance(key, Owner)]
    counts = dict.fromkeys(keys, NOTHING)
    for tenant_id, user_id, *count in await connection.fetch(
        _READ, {"tenants": tenants} | _owners(users, "owners")
    ):
        counts[tenant_id if user_id is None else Owner(tenant_id, user_id)] = Usage(*count)
    return counts


def _owners(owners: Iterable[Owner], tenants: str) -> dict[str, list[str]]:
    listed = list(owners)
    return {tenants: [each.tenant_id for each in listed], "users": [each.user_id for each in listed]}


def _columns(usages: Iterable[Usage]) -> dict[str, list[int]]:
    listed = list(usages)
    return {"sessions": [each.sessions for each in listed], "bytes": [each.bytes for each in listed]}
