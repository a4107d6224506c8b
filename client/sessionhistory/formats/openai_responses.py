"""OpenAI's Responses API: the ``input`` of a request, and answers.

An answer is one message: its texts, calls and reasoning, with the items of ``output`` as its payload. So no
window has a call without the reasoning before it, which the API refuses.

Conversion back gives the same messages in the order of the request: for a request that ``to_request`` has
made, ``to_request(from_request(request))`` is the request. Role, text, calls, results, media, and reasoning
with the payload of this API are kept. A request has no place for reasoning without that payload, for names
of speakers, and for the service's own fields (turn, metadata, usage). Items of the model in a row are one
message if calls are among them, and so are several results of one call. JSON is text. Media that a role does
not take are a message of the user behind it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sessionhistory.formats._arrange import NO_RESULT, Called, Said, Unanswered, arrange
from sessionhistory.formats._call_ids import IdRule
from sessionhistory.formats._content import loaded
from sessionhistory.formats._names import accepted_name
from sessionhistory.formats._openai_responses_items import (
    CALLS,
    OUTPUT_SUFFIX,
    PAYLOAD_TYPE,
    REASONING,
    TEXT_CALLS,
    is_models,
    own_answer,
    own_item,
    read_group,
    read_item,
    refused_media,
    type_of,
    written_answer,
    written_call,
    written_message,
    written_output,
)
from sessionhistory.formats._openai_responses_rules import MAX_CALL_ID_LENGTH, violations
from sessionhistory.formats._openai_responses_stream import StreamReader, answer
from sessionhistory.types import History, Message, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sessionhistory.formats._arrange import AnsweredCall, Caller
    from sessionhistory.formats._content import Json

__all__ = ["PAYLOAD_TYPE", "StreamReader", "from_request", "from_response", "to_request", "violations"]

_IDS: Final = IdRule(max_length=MAX_CALL_ID_LENGTH)


def to_request(
    messages: History | Iterable[Message], *, unanswered: Unanswered = Unanswered.MARKER
) -> dict[str, Any]:
    """Return ``{"input": [...]}`` for a request.

    Send ``store=False`` and ``include=["reasoning.encrypted_content"]``, so that reasoning can be sent back
    also when OpenAI does not keep it.

    Args:
        messages: A history, or messages in stored order.
        unanswered: How to convert a tool call without a result, which the API refuses.
    """
    items: list[Json] = []
    for step in arrange(messages, unanswered=unanswered, ids=_IDS):
        items.extend(_said(step.message) if isinstance(step, Said) else _called(step))
    return {"input": _with_followed_reasoning(_with_unique_ids(items))}


def from_request(request: Json | str | bytes) -> list[Message]:
    """Return the messages of a request: an object, JSON text, or its bytes. Its instructions come first."""
    found = loaded(request)
    told = found.get("instructions")
    first = [Message(role=Role.SYSTEM, content=told)] if told else []
    items = found.get("input") or []
    if isinstance(items, str):
        return [*first, Message(role=Role.USER, content=items)]
    return [*first, *map(_read, _groups(items))]


def from_response(response: Json | str | bytes) -> list[Message]:
    """Return the message of a response. ``payload`` has the items of its ``output``.

    Raises:
        ValueError: the response is an error, and has no output.
    """
    told = loaded(response)
    if "error" in told and "output" not in told:
        raise ValueError("the response is an error: there is no message to store")
    return [answer(told)]


def _read(group: Sequence[Json]) -> Message:
    return read_group(group) if is_models(group[0]) else read_item(group[0])


def _groups(items: Iterable[Json]) -> Iterator[list[Json]]:
    """Yield the items of each message. Items of the model that follow a call stay with it."""
    group: list[Json] = []
    for item in items:
        if group and not _continues(group, item):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _continues(group: Sequence[Json], item: Json) -> bool:
    if not is_models(item) or not is_models(group[0]):
        return False
    kinds = set(map(type_of, group))
    return bool(kinds & CALLS.keys()) or kinds == {REASONING} or type_of(item) in CALLS


def _said(message: Message) -> Iterator[Json]:
    if message.role is Role.ASSISTANT:
        yield from own_answer(message) or written_answer(message)
    else:
        item = own_item(message) or written_message(message)
        if item["content"]:
            yield item
    yield from _shown(refused_media(message))


def _called(step: Called) -> Iterator[Json]:
    """Yield the items of messages with calls, and the results."""
    outputs = []
    for caller in step.callers:
        own = _own_items(caller)
        yield from own or (written_answer(replace(caller.message, tool_calls=_sent(caller))))
        outputs += [_result(answered, _kind(own, answered)) for answered in caller.calls]
    yield from outputs
    yield from _shown([part for caller in step.callers for part in refused_media(caller.message)])


def _sent(caller: Caller) -> tuple[Any, ...]:
    return tuple(answered.call for answered in caller.calls)


def _shown(media: list[Json]) -> Iterator[Json]:
    """Yield a message of the user with media that another role does not take."""
    if media:
        yield {"role": Role.USER.value, "content": media}


def _kind(own: list[Json] | None, answered: AnsweredCall) -> str:
    """Return the type of a call as it is sent."""
    calls = (item for item in own or () if item.get("call_id") == answered.call.id)
    return next((type_of(item) for item in calls if type_of(item) in CALLS), "function_call")


def _own_items(caller: Caller) -> list[Json] | None:
    """Return a message's own items with the calls that are kept, as they are sent."""
    items = own_answer(caller.message)
    kept = {answered.index: answered for answered in caller.calls}
    made: list[Json] = []
    dropped: set[int] = set()
    index = 0
    for item in items or ():
        if type_of(item) not in CALLS:
            made.append(item)
            continue
        if index not in kept:
            dropped.add(len(made))
        elif not _can_be_answered(item, kept[index]):
            return None
        else:
            made.append(_call(item, kept[index]))
        index += 1
    return _without_reasoning_of(made, dropped) if made else None


def _can_be_answered(item: Json, answered: AnsweredCall) -> bool:
    """Return whether there is a result of the type that a call wants. Text is for calls with text."""
    wanted = type_of(item) + OUTPUT_SUFFIX
    owned = [own_item(result) for result in answered.results]
    return type_of(item) in TEXT_CALLS or [type_of(one or {}) for one in owned] == [wanted]


def _call(item: Json, answered: AnsweredCall) -> Json:
    """Return the item of a call, with the id, the name and the arguments that are sent."""
    if type_of(item) == "function_call":
        made = item | written_call(answered.call)
    else:
        made = item | {"call_id": answered.call.id}
        if "name" in item:
            made["name"] = accepted_name(item["name"])
    if made != item:
        made.pop("id", None)
    return made


def _without_reasoning_of(items: list[Json], dropped: set[int]) -> list[Json]:
    """Return items without the reasoning of calls that are left out, if nothing else follows it.

    ``dropped`` has the places in ``items`` at which calls were.
    """
    kept: list[Json] = []
    followed = True
    for place in reversed(range(len(items))):
        is_last = place + 1 == len(items) or type_of(items[place + 1]) == REASONING
        if type_of(items[place]) != REASONING:
            followed = True
        elif is_last and place + 1 in dropped:
            followed = False
        if followed:
            kept.append(items[place])
    return kept[::-1]


def _result(answered: AnsweredCall, kind: str) -> Json:
    """Return the one result of a call that the API takes."""
    wanted = {"type": kind + OUTPUT_SUFFIX, "call_id": answered.call.id}
    match answered.results:
        case ():
            return wanted | {"output": NO_RESULT}
        case (result,):
            own = own_item(result)
            if own and type_of(own) == wanted["type"]:
                return own | wanted
    return written_output(*answered.results) | wanted


def _with_unique_ids(items: Iterable[Json]) -> Iterator[Json]:
    """Yield items; one whose id an earlier one has loses it, and reasoning, which needs one, is left out."""
    seen: set[str] = set()
    for item in items:
        item_id = item.get("id")
        if not item_id or item_id not in seen:
            yield item
        elif type_of(item) != REASONING:
            yield {name: value for name, value in item.items() if name != "id"}
        seen.add(item_id or "")


def _with_followed_reasoning(items: Iterable[Json]) -> list[Json]:
    """Return items without reasoning that nothing of the model follows."""
    kept: list[Json] = []
    for item in reversed(list(items)):
        if type_of(item) != REASONING or (kept and is_models(kept[-1])):
            kept.append(item)
    return kept[::-1]
