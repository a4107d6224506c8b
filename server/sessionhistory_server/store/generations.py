"""The generation of the small tables that every worker holds in memory, such as the API keys.

Each change takes the next generation from the row of ``credential_state``, and stamps its own row with it.
The transaction holds that row until it commits, so changes commit in the order of their generations, and a
reader that has seen one generation has missed none before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from sessionhistory_server.store.postgres.connection import Connection

# The start of the server: another one may have lost changes that this reader has seen.
_STATE: Final = """
select coalesce((select generation from credential_state), 0), pg_postmaster_start_time()
"""

_NEXT: Final = """
insert into credential_state (only_row, generation) values (true, 1)
on conflict (only_row) do update set generation = credential_state.generation + 1
returning generation
"""


class GenerationState(NamedTuple):
    """The generation of the last change, and when the server that told it was started."""

    generation: int
    server_start: int


async def state(connection: Connection) -> GenerationState:
    """Return the generation of the last change."""
    (row,) = await connection.fetch(_STATE, {})
    return GenerationState(*row)


async def take_next(connection: Connection) -> int:
    """Return the generation of a change that the connection's transaction makes."""
    ((generation,),) = await connection.fetch(_NEXT, {})
    return int(generation)
