"""Remove void summaries, whose messages an older release has removed.

A release that does not know summaries removes a session, or the end of one, but not its summaries. No window
uses such a summary, but its text is about messages that a caller has removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.store import summaries
from sessionhistory_server.store.guard import SUMMARIES_IN_FORCE, read_snapshot
from sessionhistory_server.store.session_ref import SessionRef

if TYPE_CHECKING:
    from sessionhistory_server.store.postgres.connection import Connection

_NEXT: Final = f"""
select session_key::text, through_sequence, coalesce((
    select summaries.through_sequence > compacted_through_sequence or not {SUMMARIES_IN_FORCE}
    from sessions where sessions.session_key = summaries.session_key
), true)
from summaries
where (session_key, through_sequence) > (%(session_key)s::uuid, %(through_sequence)s::bigint)
order by summaries.session_key, through_sequence
limit %(limit)s::bigint
"""

_REMOVE_ALL: Final = """
delete from summaries
where session_key = %(session_key)s::uuid
  and not exists (select from sessions where session_key = %(session_key)s::uuid)
"""


class SweepPosition(NamedTuple):
    """The position of a sweep: the last summary that it has examined."""

    session_key: str
    through_sequence: int


START: Final = SweepPosition("00000000-0000-0000-0000-000000000000", 0)
"""The position before all summaries."""


async def find_suspects(
    connection: Connection, after: SweepPosition, *, limit: int
) -> tuple[list[str], SweepPosition]:
    """Examine up to ``limit`` summaries.

    Returns:
        The keys of the sessions that may have void summaries, and the position to continue at. It is
        ``START`` after the last summary of all.
    """
    found = await connection.fetch(_NEXT, {**after._asdict(), "limit": limit})
    keys = dict.fromkeys(key for key, _, in_doubt in found if in_doubt)
    return list(keys), SweepPosition._make(found[-1][:2]) if len(found) == limit else START


async def remove_void(connection: Connection, session_key: str) -> None:
    """Remove the void summaries of a session, or all summaries of a session that no longer exists."""
    async with connection.transaction():
        found = await read_snapshot(connection, SessionRef(session_key, "", None, None), lock=True)
        if found is None:
            await connection.fetch(_REMOVE_ALL, {"session_key": session_key})
        else:
            await summaries.remove_void_summaries(connection, session_key, found)
