"""Storing one recorded conversation, so that doing it again goes on where it stopped, and changes nothing."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Final

from sessionhistory import errors
from sessionhistory.cli._recordings import batches

if TYPE_CHECKING:
    from sessionhistory import SessionHistoryClient, SessionHistoryError
    from sessionhistory.cli._recordings import Recording

_TAKEN: Final = "its id is taken, by another user's session or a deleted one"
_DIFFERS: Final = "it differs from what is stored under its id"
_INDEX: Final = re.compile(r"(?<=^messages\[)[0-9]+")

# What is the matter with one conversation; after any other failure the next would fail as well.
_OF_ONE_CONVERSATION: Final = (
    errors.InvalidArgumentError,
    errors.NotFoundError,
    errors.AlreadyExistsError,
    errors.AbortedError,
    errors.FailedPreconditionError,
    errors.InternalError,
)


class Result(StrEnum):
    """What became of a conversation."""

    IMPORTED = "imported"
    COMPLETED = "completed"
    ALREADY_THERE = "already_there"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a conversation; ``reason``: why, if it was skipped."""

    result: Result
    reason: str = ""
    stored_messages: int = 0
    """How many this run has stored."""
    unknown_fields: Counter[str] = field(default_factory=Counter)


def store(client: SessionHistoryClient, recording: Recording) -> Outcome:
    """Store what is not stored yet of a conversation, and compare the rest with what is.

    Raises:
        SessionHistoryError: the server does not answer, or refuses everything.
    """
    session, messages = recording.session, recording.messages
    owner = session.user_id or None
    created = False
    there = done = 0
    try:
        # Not asked for first: that would be a failed call for each new conversation.
        existing = client.create_session(session, allow_existing=True)
        if existing.session.user_id != session.user_id:
            return Outcome(Result.SKIPPED, _TAKEN, unknown_fields=recording.unknown_fields)
        created, there = existing.created, existing.session.last_sequence
        # The service takes a batch of which all is stored, or nothing.
        for batch in chain(batches(messages[:there]), batches(messages[there:])):
            client.append_messages(session.session_id, batch, user_id=owner, expected_last_sequence=done)
            done += len(batch)
    except _OF_ONE_CONVERSATION as error:
        result, reason = Result.SKIPPED, _reason(error, done, created=created)
    else:
        begun = Result.COMPLETED if there < done else Result.ALREADY_THERE
        result, reason = Result.IMPORTED if created else begun, ""
    return Outcome(result, reason, max(0, done - there), recording.unknown_fields)


def _reason(error: SessionHistoryError, done: int, *, created: bool) -> str:
    """Return why a conversation is skipped of which so many messages are stored."""
    match error:
        case errors.NotFoundError() | errors.SessionExistsError():
            reason = _TAKEN
        case errors.AlreadyExistsError() | errors.AbortedError():
            reason = _DIFFERS
        case errors.InternalError():
            reason = f"the server failed; its log has more under request {error.request_id}"
        case _:
            reason = _INDEX.sub(lambda index: str(int(index[0]) + done), str(error).removeprefix("session."))
    if done:
        return f"{reason}; its first {done:,} messages are stored"
    return f"{reason}; its session is made, without messages" if created else reason
