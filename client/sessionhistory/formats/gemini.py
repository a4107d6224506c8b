"""Convert messages to requests of Gemini's ``generateContent``, and its answers to messages.

The conversation fills ``systemInstruction`` and ``contents`` of a request, in the names of the REST API:

- System and developer prompts at the beginning become ``systemInstruction``. A later one becomes text of the
  user at its place.
- Consecutive messages of one role are joined into one content. The responses of calls are a content of their
  own, in the order of the calls; what the user says, and media of results, are the next one.
- A call without a signature gets ``NO_SIGNATURE``, unless ``signatures`` is false.
- The API has no place for empty texts, media without a type, unsigned reasoning and the names of speakers.
- If the first content would be the model's, a user's content ``BEGINNING`` stands before it, and if the last
  would be, ``CONTINUE`` follows it. ``from_request`` leaves both out.

``from_request`` of a request of ``to_request`` makes messages of which ``to_request`` makes the same request.
In comparison with the messages that the request was made of, consecutive messages of one role are one, system
prompts in the middle are the user's, and only what the request has of a message is in it.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from sessionhistory.formats import _gemini_parts as parts
from sessionhistory.formats._arrange import Caller, Said, Unanswered, arrange
from sessionhistory.formats._call_ids import IdRule
from sessionhistory.formats._content import Json, loaded
from sessionhistory.formats._gemini_checks import CALL, RESPONSE, SIGNATURE, parts_of, violations
from sessionhistory.formats._gemini_names import camel
from sessionhistory.formats._gemini_parts import NO_SIGNATURE, PAYLOAD_TYPE
from sessionhistory.formats._gemini_stream import StreamReader, finished
from sessionhistory.formats._turns import BEGINNING, CONTINUE, PROMPTS, Turn, joined
from sessionhistory.types import History, Message, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sessionhistory.formats._arrange import Called, Step

__all__ = [
    "BEGINNING",
    "CONTINUE",
    "NO_SIGNATURE",
    "PAYLOAD_TYPE",
    "StreamReader",
    "from_request",
    "from_response",
    "to_request",
    "violations",
]

_IDS: Final = IdRule(max_length=8_192)
_RESPONSES: Final = "responses"


def to_request(
    messages: History | Iterable[Message],
    *,
    unanswered: Unanswered = Unanswered.MARKER,
    signatures: bool = True,
) -> dict[str, Any]:
    """Return ``systemInstruction`` and ``contents`` of a request.

    Args:
        messages: A history, or any messages in stored order.
        unanswered: How to convert a call without a result, which the API refuses.
        signatures: Whether the model wants signatures of calls, as models from Gemini 3 on do. Calls without
            one then get the signature that Google documents for them.
    """
    system: list[Json] = []
    turns: list[Turn] = []
    for step in arrange(messages, unanswered=unanswered, ids=_IDS):
        if isinstance(step, Said) and step.message.role in PROMPTS and not turns:
            told = parts.said(step.message)
            system += [part for part in told if "text" in part]
            turns += joined([Turn("user", [part for part in told if "text" not in part])])
        else:
            turns += joined(_turns(step))
    turns = list(_completed(joined(turns)))
    if signatures:
        turns = [_signed(turn) for turn in turns]
    shown = {"systemInstruction": {"parts": system}} if system else {}
    return {**shown, "contents": [_content(turn) for turn in turns]}


def from_request(request: Json | str | bytes) -> list[Message]:
    """Return the messages of a request. A message of the model has its content as payload if it needs it."""
    told = camel(loaded(request))
    prompts = [_said(Role.SYSTEM, [part]) for part in parts_of(told.get("systemInstruction"))]
    turns = [Turn(str(one.get("role")), parts_of(one)) for one in told.get("contents") or ()]
    if turns and turns[0] == Turn("user", [{"text": BEGINNING}]):
        del turns[0]
    if turns and turns[-1] == Turn("user", [{"text": CONTINUE}]):
        del turns[-1]
    ordered = [_in_order(before, turn) for before, turn in pairwise([Turn("", []), *turns])]
    return [*prompts, *(message for turn in ordered for message in _messages(turn))]


def from_response(response: Json | str | bytes) -> list[Message]:
    """Return the message of a response, with its content as payload; none if it has no candidate."""
    told = camel(loaded(response))
    return [
        replace(
            parts.answer(parts_of(candidate.get("content"))),
            provider=parts.PROVIDER,
            model=str(told.get("modelVersion", "")),
            **finished(candidate.get("finishReason"), told.get("usageMetadata")),
        )
        for candidate in (told.get("candidates") or ())[:1]
    ]


def _turns(step: Step) -> Iterator[Turn]:
    """Yield the turns of a step."""
    if not isinstance(step, Said):
        yield from _called(step)
    elif step.message.role is Role.ASSISTANT:
        yield Turn("model", parts.of_model(Caller(step.message, ())))
    else:
        yield Turn("user", parts.said(step.message))


def _called(step: Called) -> Iterator[Turn]:
    """Yield the calls, their responses, and the media of the results."""
    yield Turn("model", [part for caller in step.callers for part in parts.of_model(caller)])
    yield Turn(
        _RESPONSES,
        [
            parts.response(answered, caller.message.tool_calls[answered.index])
            for caller in step.callers
            for answered in caller.calls
        ],
    )
    results = [result for answered in step.calls for result in answered.results]
    yield Turn("user", [part for one in results for part in parts.said(one) if "text" not in part])


def _completed(turns: list[Turn]) -> Iterator[Turn]:
    """Yield the turns, with a user's turn before and behind them where the API wants one."""
    if not turns or turns[0].role == "model":
        yield Turn("user", [{"text": BEGINNING}])
    yield from turns
    if turns and turns[-1].role == "model":
        yield Turn("user", [{"text": CONTINUE}])


def _signed(turn: Turn) -> Turn:
    """Return a turn of which the first call has a signature."""
    first = next((index for index, part in enumerate(turn.blocks) if CALL in part), None)
    if first is None or turn.blocks[first].get(SIGNATURE):
        return turn
    signed = turn.blocks[first] | {SIGNATURE: NO_SIGNATURE}
    return Turn(turn.role, [*turn.blocks[:first], signed, *turn.blocks[first + 1 :]])


def _content(turn: Turn) -> Json:
    return {"role": "model" if turn.role == "model" else "user", "parts": turn.blocks}


def _in_order(before: Turn, turn: Turn) -> Turn:
    """Return responses in the order of their calls: without ids the order says to which call each belongs."""
    left = list(turn.blocks)
    ordered = []
    for call in (part[CALL] for part in before.blocks if CALL in part):
        found = next((part for part in left if _answers(part, call)), None)
        if found:
            left.remove(found)
            ordered.append(found)
    return Turn(turn.role, [*ordered, *left])


def _answers(part: Json, call: Json) -> bool:
    response = part.get(RESPONSE) or {}
    return all(response.get(name) == call.get(name) for name in ("id", "name"))


def _messages(turn: Turn) -> Iterator[Message]:
    """Yield the messages of a content: the model's, or responses and what the user says."""
    if turn.role == "model":
        yield parts.message_of_model([_as_stored(part) for part in turn.blocks])
        return
    yield from (parts.result_message(part[RESPONSE]) for part in turn.blocks if RESPONSE in part)
    others = [part for part in turn.blocks if RESPONSE not in part]
    if others:
        yield _said(Role.USER, others)


def _as_stored(part: Json) -> Json:
    """Return a part without the signature that says that it has none."""
    is_placeholder = part.get(SIGNATURE) == NO_SIGNATURE
    return {name: value for name, value in part.items() if not (is_placeholder and name == SIGNATURE)}


def _said(role: Role, told: list[Json]) -> Message:
    content, stored = parts.body_of(told)
    return Message(role=role, content=content, parts=stored)
