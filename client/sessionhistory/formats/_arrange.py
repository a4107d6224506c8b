"""Arrange messages in stored order into the steps of a request: results directly behind their calls.

``arrange`` is the part that all formats share. A format renders each step and merges roles as its API wants:

- ``Said``: a message without calls: of a user, of the model, a system prompt, a summary. It stands where it
  was stored; a message that was stored between a call and its result follows the results.
- ``Called``: one or several messages of the model in a row with their calls, each call with its results.

A result without its call is left out. A call without results has ``results == ()`` with ``Unanswered.MARKER``
(the format writes ``NO_RESULT`` as its result), and is left out with ``Unanswered.OMIT``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Final

from sessionhistory.formats._call_ids import CallIds, IdRule
from sessionhistory.formats._pairing import Place, pair
from sessionhistory.formats._repair import repaired
from sessionhistory.types import History, Message, MessageStatus, ReasoningPart, Role, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_JOINED_CALLS: Final = 128
"""The most calls of one message that OpenAI and the contract accept."""

_ROW: Final = (Role.ASSISTANT, Role.TOOL)
"""The roles of a row. Results stand in their calls, so reasoning before a result belongs behind it."""

NO_RESULT: Final = "This tool call has no result."
"""The text of the result that a call without one gets."""


class Unanswered(StrEnum):
    """The ways to convert a tool call without a result."""

    MARKER = "marker"
    """The call stays, and gets a result that says that it has none."""
    OMIT = "omit"
    """The call is left out, and its message if nothing else is in it."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message without calls, also one of which all calls are left out: ``message`` has none then."""

    message: Message


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """A call and its results.

    ``call`` has an id that the API accepts, and JSON for arguments if the message was interrupted.
    """

    call: ToolCall
    results: tuple[Message, ...]
    """The stored results in order; empty: the format writes ``NO_RESULT``."""
    index: int
    """The place of the call among the calls of its stored message, and so in its payload."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A message of a row, as it was stored, with the calls that are kept of it.

    A message of reasoning between two messages with calls has no calls.
    """

    message: Message
    calls: tuple[AnsweredCall, ...]

    @property
    def altered(self) -> bool:
        """Return whether the calls differ from the stored ones. Then the payload is not sent verbatim."""
        return tuple(answered.call for answered in self.calls) != self.message.tool_calls


@dataclass(frozen=True, slots=True)
class Called:
    """Messages of the model in a row with their calls. The results of all follow the last message.

    The first may have text. The others have calls or reasoning only.
    """

    callers: tuple[Caller, ...]

    @property
    def calls(self) -> tuple[AnsweredCall, ...]:
        """Return the calls of all messages, in order."""
        return tuple(answered for caller in self.callers for answered in caller.calls)


Step = Said | Called


def messages_of(source: History | Iterable[Message]) -> list[Message]:
    """Return the messages of a history, or of any series."""
    return list(source.messages if isinstance(source, History) else source)


def arrange(
    source: History | Iterable[Message], *, unanswered: Unanswered = Unanswered.MARKER, ids: IdRule
) -> list[Step]:
    """Return the steps of messages in stored order."""
    stored = list(_split(messages_of(source)))
    results = pair(stored)
    call_ids = CallIds(stored, ids)
    callers = [
        Caller(message, tuple(_answered(stored, place, results, call_ids, unanswered)))
        for place, message in enumerate(stored)
    ]
    return list(_steps(callers))


def is_reasoning(message: Message) -> bool:
    """Return whether a message of the model has reasoning or a payload only, or nothing at all."""
    return (
        message.role is Role.ASSISTANT
        and not message.content
        and not message.tool_calls
        and all(isinstance(part, ReasoningPart) for part in message.parts)
    )


def _split(messages: Iterable[Message]) -> Iterator[Message]:
    """Yield the messages; calls that are not the model's become a message behind their message."""
    for message in messages:
        if not message.tool_calls or message.role is Role.ASSISTANT:
            yield message
            continue
        yield replace(message, tool_calls=())
        yield Message(
            role=Role.ASSISTANT,
            tool_calls=message.tool_calls,
            sequence=message.sequence,
            status=message.status,
        )


def _answered(
    stored: list[Message],
    place: int,
    results: dict[Place, list[int]],
    call_ids: CallIds,
    unanswered: Unanswered,
) -> Iterator[AnsweredCall]:
    """Yield the calls of a message that are kept, with their results."""
    message = stored[place]
    interrupted = message.status is MessageStatus.INTERRUPTED
    for index, call in enumerate(message.tool_calls):
        answers = tuple(stored[answer] for answer in results.get(Place(place, index), ()))
        if answers or unanswered is Unanswered.MARKER:
            arguments = repaired(call.arguments) if interrupted else call.arguments
            sent = replace(call, id=call_ids.of(place, index), arguments=arguments)
            yield AnsweredCall(sent, answers, index)


def _steps(callers: Iterable[Caller]) -> Iterator[Step]:
    """Yield the steps of messages in stored order. The results of calls stand in the calls."""
    for is_row, group in groupby(callers, lambda caller: caller.message.role in _ROW):
        if is_row:
            yield from _steps_of_row(group)
        else:
            yield from (Said(caller.message) for caller in group)


def _steps_of_row(row: Iterable[Caller]) -> Iterator[Step]:
    """Yield the steps of a row of the model: calls are joined until a result, or a message that says more."""
    joined: list[Caller] = []
    reasoning: list[Caller] = []  # belongs to the message behind it
    for caller in row:
        if caller.message.role is Role.TOOL:
            if joined:
                yield Called(tuple(joined))
            joined = []
            continue
        if not caller.calls and is_reasoning(_without_calls(caller.message)):
            reasoning.append(caller)
            continue
        if joined and (not caller.calls or _speaks(caller.message) or _is_full(joined, caller)):
            yield Called(tuple(joined))
            joined = []
        if caller.calls:
            joined += [*reasoning, caller]
        else:
            yield from (Said(_without_calls(said.message)) for said in (*reasoning, caller))
        reasoning = []
    if joined:
        yield Called(tuple(joined))
    yield from (Said(_without_calls(said.message)) for said in reasoning)


def _is_full(joined: list[Caller], caller: Caller) -> bool:
    return sum(len(one.calls) for one in (*joined, caller)) > MAX_JOINED_CALLS


def _speaks(message: Message) -> bool:
    """Return whether a message has content other than calls and reasoning."""
    return not is_reasoning(_without_calls(message))


def _without_calls(message: Message) -> Message:
    return replace(message, tool_calls=()) if message.tool_calls else message
