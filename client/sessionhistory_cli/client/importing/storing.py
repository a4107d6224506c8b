"""Store a recorded conversation. Storing it again continues where an import stopped, and changes nothing."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Final

from sessionhistory import SessionStatus, errors
from sessionhistory_cli.client.formatting import first
from sessionhistory_cli.client.importing.recordings import batches

if TYPE_CHECKING:
    from sessionhistory import Session, SessionHistoryClient, SessionHistoryError
    from sessionhistory_cli.client.importing.losses import Losses
    from sessionhistory_cli.client.importing.recordings import Recording

_TAKEN: Final = "its id is taken, by another user's session"
_DIFFERS: Final = "it differs from the conversation that is stored under its id"
_INDEX: Final = re.compile(r"(?<=^messages\[)[0-9]+")

# These errors concern one conversation. After any other error, the next conversation would fail, too.
_OF_ONE_CONVERSATION: Final = (
    errors.InvalidArgumentError,
    errors.NotFoundError,
    errors.AlreadyExistsError,
    errors.AbortedError,
    errors.FailedPreconditionError,
    errors.InternalError,
)


class Result(StrEnum):
    """The result of storing a conversation."""

    IMPORTED = "imported"
    COMPLETED = "completed"
    ALREADY_THERE = "already_there"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of storing a conversation, with the reason if it was skipped."""

    result: Result
    reason: str = ""
    stored_messages: int = 0
    """The number of messages that this run has stored."""
    losses: Losses = field(default_factory=Counter)


def store_recording(client: SessionHistoryClient, recording: Recording) -> Outcome:
    """Store the messages that are not stored yet, and compare the others with those that are.

    Raises:
        SessionHistoryError: the server does not answer, or would refuse any other conversation too.
    """
    session_id, owner, messages = recording.session_id, recording.user_id, recording.messages
    created = False
    there = done = recording.before
    try:
        session, created = _session(client, recording)
        if session.user_id != (owner or ""):
            return Outcome(Result.SKIPPED, _TAKEN, losses=recording.losses)
        there = session.last_sequence
        stored = max(0, there - recording.before)
        # The service accepts a batch of which every message is stored already, or none.
        for batch in chain(batches(messages[:stored]), batches(messages[stored:])):
            client.append_messages(session_id, batch, user_id=owner, expected_last_sequence=done)
            done += len(batch)
        _close(client, recording, session)
    except _OF_ONE_CONVERSATION as error:
        result, reason = Result.SKIPPED, _reason(error, done, created=created)
    else:
        begun = Result.COMPLETED if there < done else Result.ALREADY_THERE
        result, reason = Result.IMPORTED if created else begun, ""
    return Outcome(result, reason, max(0, done - max(there, recording.before)), recording.losses)


def _session(client: SessionHistoryClient, recording: Recording) -> tuple[Session, bool]:
    """Return the session of a recording, and whether this call created it."""
    # No look-up comes first: it would be a failed call for each new conversation.
    active = replace(recording.session, status=SessionStatus.ACTIVE)
    if not recording.forked_from:
        made = client.create_session(
            recording.session_id, active, user_id=recording.user_id, allow_existing=True
        )
        return made.session, made.created
    fork = client.fork_session(
        recording.forked_from,
        active,
        new_session_id=recording.session_id,
        new_user_id=recording.user_id,
        through_sequence=recording.shared,
        user_id=recording.user_id,
        allow_existing=True,
    )
    return fork.session, fork.created


def _close(client: SessionHistoryClient, recording: Recording, session: Session) -> None:
    """Give the session the status of the recording, unless the session has changed since its creation."""
    status = recording.session.status
    if status is not session.status and session.update_time == session.create_time:
        client.update_session(recording.session_id, user_id=recording.user_id, status=status)


def _reason(error: SessionHistoryError, done: int, *, created: bool) -> str:
    """Return the reason why a conversation is skipped after ``done`` of its messages were stored."""
    match error:
        case errors.SessionExistsError():
            # For a deleted session, the server tells its owner until when the session holds the id.
            reason = str(error) if "purge_time" in error.metadata else _TAKEN
        case errors.AlreadyExistsError() | errors.AbortedError():
            reason = _DIFFERS
        case errors.InternalError():
            reason = f"the server failed; its log has more under request {error.request_id}"
        case _:
            reason = _INDEX.sub(lambda index: str(int(index[0]) + done), str(error).removeprefix("session."))
    if done:
        return f"{reason}; its {first(done, 'message')} stored"
    return f"{reason}; its session is made, without messages" if created else reason
