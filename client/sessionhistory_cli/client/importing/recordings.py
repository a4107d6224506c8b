"""Recorded conversations, as all formats make them, and their batches."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sessionhistory.types import Role, SessionFields
from sessionhistory_cli.client.importing.losses import Loss, Losses
from sessionhistory_cli.client.importing.message_size import size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sessionhistory.types import Message

# Limits of the service. A batch stays below them, with an overhead for all that is not text.
MAX_BATCH_BYTES: Final = 3 * 1024 * 1024 - 1
MAX_BATCH_MESSAGES: Final = 500
MAX_PINNED: Final = 64
_OVERHEAD_BYTES: Final = 128
_NO_PIN: Final = Loss("the pin of a prompt", f"a session has at most {MAX_PINNED} pinned messages")
_SYSTEM: Final = (Role.SYSTEM, Role.DEVELOPER)


class BadRecordingError(ValueError):
    """A value is not a conversation that can be stored. The message quotes nothing of the value."""

    def __init__(self, message: str, conversation_id: str = "") -> None:
        super().__init__(message)
        self.conversation_id = conversation_id
        """The id of the conversation; empty if it is unknown."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A conversation to store. If the file has no ids of its messages, they derive from their positions."""

    session_id: str
    user_id: str | None
    """The owner of the session; ``None``: it has no owner."""
    session: SessionFields
    messages: tuple[Message, ...]
    losses: Losses = field(default_factory=Counter)
    """The number of occurrences of each field that is not stored."""
    before: int = 0
    """The number of messages of the conversation that earlier recordings have."""
    forked_from: str = ""
    """The session of which this one is a fork; empty: none."""
    shared: int = 0
    """The number of messages that the fork has from that session."""
    family: str = ""
    """The id of the first session of a family of forks, of which only one is stored at a time."""


def content_id(values: Iterable[object], user_id: str | None) -> str:
    """Return an id that the same content of the same owner always gets."""
    digest = hashlib.sha256((user_id or "").encode())
    for value in values:
        digest.update(json.dumps(value, sort_keys=True).encode())
    return f"import-{digest.hexdigest()[:32]}"


def with_ids(messages: Iterable[Message], before: int = 0) -> tuple[Message, ...]:
    """Return messages with ids that derive from their positions."""
    placed = enumerate(messages, start=before + 1)
    return tuple(replace(one, message_id=f"import-{place}") for place, one in placed)


def with_pins(recording: Recording) -> Recording:
    """Return a recording of which the system and developer prompts are pinned, as far as the limit allows."""
    pins = sum(message.pinned for message in recording.messages)
    messages: list[Message] = []
    losses = recording.losses.copy()
    for message in recording.messages:
        wanted = message.role in _SYSTEM and not message.tool_calls and not message.pinned
        pin = wanted and pins < MAX_PINNED
        pins += pin
        losses[_NO_PIN] += wanted and not pin
        messages.append(replace(message, pinned=True) if pin else message)
    return replace(recording, messages=tuple(messages), losses=+losses)


def batches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Split messages into batches that the service accepts."""
    start = size = 0
    for end, one in enumerate(messages):
        more = size_bytes(one) + _OVERHEAD_BYTES * (1 + len(one.tool_calls) + len(one.parts))
        if end - start == MAX_BATCH_MESSAGES or (end > start and size + more > MAX_BATCH_BYTES):
            yield messages[start:end]
            start, size = end, 0
        size += more
    if messages[start:]:
        yield messages[start:]
