"""What a change of a session's messages depends on, and what to say if it stands in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.errors import AbortedError, FailedPreconditionError
from sessionhistory_server.model import ACTIVE, MIXED, Counters
from sessionhistory_server.store.sessions import LIVE, OWNED

if TYPE_CHECKING:
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.sessions import SessionRef

_STANDING: Final = f"""
select last_sequence, message_count, total_tokens, status, pinned_count, token_counter,
       compacted_through_sequence, ({OWNED} and {LIVE})
from sessions where session_key = %(session_key)s::uuid
"""

_LOCK: Final = f"{_STANDING} for update"


class Standing(NamedTuple):
    """How a session stands; ``usable``: live, and the caller's."""

    last_sequence: int
    message_count: int
    total_tokens: int
    status: str
    pinned_count: int
    token_counter: str
    compacted_through_sequence: int
    usable: bool

    @property
    def counters(self) -> Counters:
        """The session's counters."""
        return Counters._make(self[:3])


NEW: Final = Standing(0, 0, 0, ACTIVE, 0, MIXED, 0, usable=True)
"""How a session stands that is to be made."""


async def standing(connection: Connection, ref: SessionRef, *, lock: bool = False) -> Standing | None:
    """Return how a session stands, ``None`` if there is none; with ``lock`` it stays so until the commit."""
    found = await connection.fetch(_LOCK if lock else _STANDING, ref._asdict())
    return Standing._make(found[0]) if found else None


def require_appendable(found: Standing, ref: SessionRef, expected_last_sequence: int | None) -> None:
    """Require that messages can come and go.

    Raises:
        FailedPreconditionError: the session is not active.
        AbortedError: its last sequence is not the expected one.
    """
    if found.status != ACTIVE:
        raise session_not_active(ref.session_id, found.status)
    require_last_sequence(found, ref, expected_last_sequence)


def require_last_sequence(found: Standing, ref: SessionRef, expected: int | None) -> None:
    """Require the last sequence that is expected, if one is.

    Raises:
        AbortedError: it is another.
    """
    if expected not in (None, found.last_sequence):
        raise sequence_mismatch(ref, found.last_sequence, f"not {expected}")


def require_reached(found: Standing, ref: SessionRef, sequence: int) -> None:
    """Require that the session has come as far as a sequence.

    Raises:
        AbortedError: it has not.
    """
    if sequence > found.last_sequence:
        raise sequence_mismatch(ref, found.last_sequence, f"which is before {sequence}")


def session_not_active(session_id: str, status: str) -> FailedPreconditionError:
    """Return the error for a session that has come to its end."""
    return FailedPreconditionError(
        f"session {session_id!r} is {status}: set it ACTIVE first",
        reason="SESSION_NOT_ACTIVE",
        session_id=session_id,
        status=status,
    )


def sequence_mismatch(ref: SessionRef, actual: int, difference: str) -> AbortedError:
    """Return the error for a sequence that is not as the caller believes."""
    return AbortedError(
        f"session {ref.session_id!r} has last sequence {actual}, {difference}",
        reason="SEQUENCE_MISMATCH",
        session_id=ref.session_id,
        actual_last_sequence=str(actual),
    )
