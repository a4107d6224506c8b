"""The keys that sign page tokens, which all servers of a database share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import timedelta

    from sessionhistory_server.store.postgres.connection import Connection

# The newest key signs; the one before it is still accepted.
_READ: Final = """
select key_number, secret, create_time > now() - %(max_age)s::interval from signing_keys
order by key_number desc
limit 2
"""

# The row serialises servers that make a key at the same time.
_LOCK: Final = """
insert into credential_state (only_row, generation) values (true, 0)
on conflict (only_row) do update set generation = credential_state.generation
"""

_MAKE: Final = """
insert into signing_keys (key_number, secret, create_time)
select coalesce(max(key_number), 0) + 1, decode(%(secret)s::text, 'hex'), now() from signing_keys
having coalesce(max(create_time) <= now() - %(max_age)s::interval, true)
"""

_FORGET: Final = "delete from signing_keys where key_number < (select max(key_number) - 1 from signing_keys)"


async def read(connection: Connection, max_age: timedelta) -> tuple[dict[int, bytes], bool]:
    """Return the newest keys by their numbers, the newest first, and whether that one may still sign."""
    found = await connection.fetch(_READ, {"max_age": max_age})
    return {int(number): bytes(secret) for number, secret, _ in found}, bool(found) and bool(found[0][2])


async def make(connection: Connection, secret: bytes, max_age: timedelta) -> None:
    """Add a key unless another server has just done so, and remove the keys that are no longer accepted."""
    async with connection.transaction():
        await connection.fetch(_LOCK, {})
        await connection.fetch(_MAKE, {"secret": secret.hex(), "max_age": max_age})
        await connection.fetch(_FORGET, {})
