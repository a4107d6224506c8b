"""Read the facts that decide whether a session may change, and refuse a change that they do not allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString, NamedTuple

from sessionhistory_server.errors import AbortedError, FailedPreconditionError, session_not_found
from sessionhistory_server.model.session import ACTIVE, Counters
from sessionhistory_server.model.tokens import MIXED
from sessionhistory_server.store.columns.times import timestamp
from sessionhistory_server.store.session_ref import HELD_UNTIL, LIVE, NAMED, OWNED

if TYPE_CHECKING:
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.session_ref import SessionRef

SUMMARIES_IN_FORCE: Final = """
(compacted_through_sequence = 0 or coalesce(last_sequence - message_count = compacted_removed_count, false))
"""
"""The condition that all summaries of the session up to its ``compacted_through_sequence`` are in force.

Every release keeps ``last_sequence`` and ``message_count``. Their difference grows when messages are removed,
and only then. This release keeps ``compacted_removed_count`` equal to the difference; a release that does not
know summaries does not. If the two differ, a summary is in force if its last message is still stored.
"""


class SessionSnapshot(NamedTuple):
    """The facts of a session, in one snapshot, that decide whether its messages may change."""

    last_sequence: int
    message_count: int
    total_tokens: int
    status: str
    pinned_count: int
    token_counter: str
    compacted_through_sequence: int
    in_force: bool
    """Whether all summaries are in force."""
    usable: bool
    """Whether the session is live, and the caller's."""
    held_until: int | None = None
    """The purge time of the session, if it is deleted or expired and the caller owns it."""

    @property
    def counters(self) -> Counters:
        """The session's counters."""
        return Counters(self.last_sequence, self.message_count, self.total_tokens)


NO_SESSION: Final = SessionSnapshot(
    last_sequence=0,
    message_count=0,
    total_tokens=0,
    status=ACTIVE,
    pinned_count=0,
    token_counter=MIXED,
    compacted_through_sequence=0,
    in_force=True,
    usable=True,
)
"""The snapshot of a session that will be created."""

_EXPRESSIONS: Final = {
    "in_force": SUMMARIES_IN_FORCE,
    "usable": f"({OWNED} and {LIVE})",
    "held_until": HELD_UNTIL,
}
SNAPSHOT_COLUMNS: Final = ", ".join(_EXPRESSIONS.get(name, name) for name in SessionSnapshot._fields)
"""The columns of a ``SessionSnapshot``, for statements that read more in the same snapshot."""

_READ: Final = f"select {SNAPSHOT_COLUMNS} from sessions where {NAMED}"

_LOCK: Final = f"{_READ} for update"

_HOLDER: Final = f"select {SNAPSHOT_COLUMNS} from sessions where session_key = %(session_key)s::uuid"


async def read_snapshot(
    connection: Connection, ref: SessionRef, *, lock: bool = False
) -> SessionSnapshot | None:
    """Read a session of the caller; ``None`` if the caller has none with the id.

    With ``lock`` no other transaction changes it meanwhile. The session of another caller is not locked.
    """
    return await _read(connection, _LOCK if lock else _READ, ref)


async def read_holder(connection: Connection, ref: SessionRef) -> SessionSnapshot | None:
    """Read the session that holds an id, also one of another caller; ``None`` if the id is free.

    Only a call that would create a session may learn that another one has the id.
    """
    return await _read(connection, _HOLDER, ref)


async def _read(connection: Connection, statement: LiteralString, ref: SessionRef) -> SessionSnapshot | None:
    found = await connection.fetch(statement, ref._asdict())
    return SessionSnapshot._make(found[0]) if found else None


def require_usable(found: SessionSnapshot, ref: SessionRef, *, creates: bool) -> None:
    """Require that a session is live, and the caller's.

    Args:
        found: The session.
        ref: The session as the caller names it.
        creates: Whether the caller would create a session that does not exist. Then the error says until
            when a deleted session holds the id.

    Raises:
        NotFoundError: the session is not usable.
    """
    if not found.usable:
        raise session_not_found(ref.session_id, timestamp(found.held_until) if creates else None)


def require_appendable(found: SessionSnapshot, ref: SessionRef, expected_last_sequence: int | None) -> None:
    """Require that messages may be appended and removed.

    Raises:
        FailedPreconditionError: the session is not active.
        AbortedError: its last sequence is not the expected one.
    """
    if found.status != ACTIVE:
        raise session_not_active(ref.session_id, found.status)
    require_last_sequence(found, ref, expected_last_sequence)


def require_last_sequence(found: SessionSnapshot, ref: SessionRef, expected: int | None) -> None:
    """Require that a session has the last sequence that the caller expects, if it expects one.

    Raises:
        AbortedError: the session has another last sequence.
    """
    if expected not in (None, found.last_sequence):
        raise sequence_mismatch(ref, found.last_sequence, f"not {expected}")


def require_reached(found: SessionSnapshot, ref: SessionRef, sequence: int) -> None:
    """Require that the session has reached a sequence.

    Raises:
        AbortedError: the session's last sequence is before it.
    """
    if sequence > found.last_sequence:
        raise sequence_mismatch(ref, found.last_sequence, f"which is before {sequence}")


def session_not_active(session_id: str, status: str) -> FailedPreconditionError:
    """Return the error for a session that is COMPLETED or ABANDONED."""
    return FailedPreconditionError(
        f"session {session_id!r} is {status}: set it ACTIVE first",
        reason="SESSION_NOT_ACTIVE",
        session_id=session_id,
        status=status,
    )


def sequence_mismatch(ref: SessionRef, actual: int, difference: str) -> AbortedError:
    """Return the error for a last sequence that is not the one that the caller expects."""
    return AbortedError(
        f"session {ref.session_id!r} has last sequence {actual}, {difference}",
        reason="SEQUENCE_MISMATCH",
        session_id=ref.session_id,
        actual_last_sequence=str(actual),
    )
