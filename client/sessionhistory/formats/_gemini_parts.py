"""Messages as parts of Gemini's contents, and back."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, takewhile
from typing import TYPE_CHECKING, Any, Final

from sessionhistory.formats._arrange import NO_RESULT
from sessionhistory.formats._content import Json, dumped, item_of, payload_of
from sessionhistory.formats._gemini_checks import (
    CALL,
    DATA,
    NAME,
    RESPONSE,
    SIGNATURE,
    part_violations,
    parts_of,
)
from sessionhistory.formats._gemini_media import media_of_part, part_of_media
from sessionhistory.formats._gemini_names import camel
from sessionhistory.formats._names import accepted_name
from sessionhistory.formats._repair import arguments_object
from sessionhistory.formats._turns import same_calls
from sessionhistory.types import JsonPart, MediaPart, Message, Part, ReasoningPart, Role, TextPart, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sessionhistory.formats._arrange import AnsweredCall, Caller

PROVIDER: Final = "google"
PAYLOAD_TYPE: Final = "application/vnd.google.content+json"
NO_SIGNATURE: Final = "skip_thought_signature_validator"
"""The signature that Google documents for a call that no model of Gemini's has signed."""
IS_ERROR: Final = "is_error"
"""The key of a result's metadata that says whether the tool failed."""

_MEDIA: Final = {"inlineData", "fileData"}
"""The parts of a user that a ``JsonPart`` may hold as they are, for example with a range of a video."""
_OUTPUT: Final = "output"
_ERROR: Final = "error"


def said(message: Message) -> list[Json]:
    """Return the parts of a message that is not the model's."""
    return [made for part in (TextPart(message.content or ""), *message.parts) if (made := _part(part))]


def response(answered: AnsweredCall, stored: ToolCall) -> Json:
    """Return the part of the results of a call."""
    made = {"name": _name(answered.call.name), "response": _response(answered.results)}
    return {RESPONSE: _id(answered.call, stored) | made}


def of_model(caller: Caller) -> list[Json]:
    """Return the parts of a message of the model: those of its payload, if they still are its own."""
    stored = caller.message.tool_calls
    kept = payload_parts(caller.message)
    if kept is not None:
        return list(_with_calls(kept, {one.index: _id(one.call, stored[one.index]) for one in caller.calls}))
    calls = [_call_part(one.call, stored[one.index]) for one in caller.calls]
    return [*_from_fields(caller.message), *calls]


def answer(parts: list[Json]) -> Message:
    """Return the message of an answer: all its text as content, and its parts as payload.

    An answer with media has no payload if its fields have all of it, because media are large.
    """
    made = replace(_message(parts, with_texts=False), content=_text_of(parts) or None)
    has_media = any(isinstance(part, MediaPart) for part in made.parts)
    return made if has_media and _again(made) == parts else _with_payload(made, parts)


def message_of_model(parts: list[Json]) -> Message:
    """Return the message of a content of the model, with it as payload if its fields lack some of it."""
    texts = [part for part in parts if is_text(part)]
    made = _message(parts, with_texts=len(texts) != 1)
    made = replace(made, content=texts[0]["text"]) if len(texts) == 1 else made
    return made if _again(made) == parts else _with_payload(made, parts)


def payload_parts(message: Message) -> list[Json] | None:
    """Return the parts in the payload of a message, if their text and calls are those of its fields."""
    try:
        found = parts_of(camel(item_of(message, PAYLOAD_TYPE)))
        if not found or not all(map(_is_typed, found)):
            return None
        told = answer(found)
    except RecursionError:
        return None
    same = (told.content or "") == _text_of(said(message)) and same_calls(told, message)
    sent = [part for part in found if part.get("text") != "" or part.get(SIGNATURE)]
    return sent if same and all(_is_sound("model", part) for part in sent) else None


def body_of(parts: Iterable[Json]) -> tuple[str | None, tuple[Part, ...]]:
    """Return the content and the parts of a message that is not the model's."""
    told = tuple(media_of_part(part) or _as_stored(part) for part in parts)
    match told:
        case (TextPart(text),):
            return text, ()
    return None, told


def result_message(value: Json) -> Message:
    """Return the message of a response."""
    made = Message(role=Role.TOOL, tool_call_id=str(value.get("id") or ""))
    match value.get("response"):
        case {"output": str(text), **rest} if not rest:
            return replace(made, content=text)
        case {"error": str(text), **rest} if not rest:
            return replace(made, content=text, metadata={IS_ERROR: True})
        case {"output": [str(), str(), *_] as texts, **rest} if not rest and _are_texts(texts):
            return replace(made, parts=tuple(TextPart(text) for text in texts))
        case None:
            return made
        case other:
            return replace(made, parts=(JsonPart(other),))


def is_text(part: Json) -> bool:
    """Return whether a part is text of the answer, not a thought."""
    return isinstance(part.get("text"), str) and not part.get("thought")


def reasoning_of(parts: Iterable[Json]) -> ReasoningPart | None:
    """Return the reasoning of consecutive thoughts."""
    thoughts = list(parts)
    signature = next((str(part[SIGNATURE]) for part in thoughts if part.get(SIGNATURE)), "")
    text = "".join(str(part.get("text", "")) for part in thoughts)
    return ReasoningPart(text, signature=signature) if text else None


def call_of(value: Json) -> ToolCall:
    """Return the call of a part."""
    arguments = dumped(value.get("args") or {})
    return ToolCall(id=str(value.get("id") or ""), name=str(value.get("name", "")), arguments=arguments)


def _part(part: Part) -> Json | None:
    """Return the part of a text, a medium or JSON; empty ones, and media without a type, have none."""
    match part:
        case TextPart(text):
            return {"text": text} if text else None
        case MediaPart():
            return part_of_media(part)
        case JsonPart(dict() as value) if value.keys() & _MEDIA and _is_sound("user", value):
            return value
        case JsonPart(value):
            return {"text": dumped(value)}
    return None


def _is_typed(part: Json) -> bool:
    """Return whether what a part has is of the type that the API names: text, or else an object."""
    call = part.get(CALL, {})
    return all(isinstance(part[name], str if name == "text" else dict) for name in DATA if name in part) and (
        isinstance(call.get("id", ""), str) and isinstance(call.get("name", ""), str)
    )


def _is_sound(role: str, part: Json) -> bool:
    return next(part_violations("", role, part), None) is None


def _as_stored(part: Json) -> Part:
    """Return a part of a user that is no medium: JSON is a part as it is."""
    match part:
        case {"text": str(text), **rest} if not rest:
            return TextPart(text)
    return JsonPart(part)


def _response(results: tuple[Message, ...]) -> Json:
    """Return the object of the results of a call: their texts, or the JSON of the only one."""
    match results:
        case (Message(content=None, parts=(JsonPart(dict() as value),)),):
            if value.keys() not in ({_OUTPUT}, {_ERROR}):
                return value
    texts = [part["text"] for one in results for part in said(one) if "text" in part]
    if not results:
        return {_OUTPUT: NO_RESULT}
    if len(texts) > 1:
        return {_OUTPUT: texts}
    is_error = any((one.metadata or {}).get(IS_ERROR) is True for one in results)
    return {_ERROR if is_error and texts else _OUTPUT: texts[0] if texts else ""}


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) and value for value in values)


def _name(name: str) -> str:
    """Return a name that the API accepts."""
    if NAME.fullmatch(name):
        return name
    made = accepted_name(name)
    return made if NAME.fullmatch(made) else f"_{made}"[:64]


def _id(call: ToolCall, stored: ToolCall) -> Json:
    """Return the id of a call, if the stored call has one: some versions of the API have none."""
    return {"id": call.id} if stored.id else {}


def _call_part(call: ToolCall, stored: ToolCall) -> Json:
    made = {"name": _name(call.name), "args": arguments_object(call.arguments)}
    return {CALL: _id(call, stored) | made}


def _from_fields(message: Message) -> list[Json]:
    """Return the parts that the fields of a message make, without its calls: reasoning, content, parts."""
    first = list(takewhile(lambda part: isinstance(part, ReasoningPart), message.parts))
    parts = (*first, TextPart(message.content or ""), *message.parts[len(first) :])
    told = [_thought(part, message) if isinstance(part, ReasoningPart) else _part(part) for part in parts]
    return [part for part in told if part]


def _again(message: Message) -> list[Json]:
    """Return the parts that the fields of a message make, with its calls."""
    return [*_from_fields(message), *(_call_part(call, call) for call in message.tool_calls)]


def _thought(part: ReasoningPart, message: Message) -> Json | None:
    """Return the part of a thought that Gemini has signed. Gemini refuses the signatures of others."""
    names = f"{message.provider} {message.model}".lower()
    is_own = not names.strip() or "google" in names or "gemini" in names
    if not (is_own and part.text and part.signature and not part.opaque):
        return None
    return {"text": part.text, "thought": True, SIGNATURE: part.signature}


def _message(parts: list[Json], *, with_texts: bool) -> Message:
    """Return a message with the calls, the thoughts and the media of parts, and perhaps their texts."""
    stored: list[Part | None] = []
    for is_thought, run in groupby(parts, lambda part: bool(part.get("thought"))):
        if is_thought:
            stored.append(reasoning_of(run))
            continue
        texts = with_texts
        stored += (TextPart(part["text"]) if texts and is_text(part) else media_of_part(part) for part in run)
    calls = tuple(call_of(part[CALL]) for part in parts if isinstance(part.get(CALL), dict))
    return Message(role=Role.ASSISTANT, tool_calls=calls, parts=tuple(part for part in stored if part))


def _with_payload(message: Message, parts: list[Json]) -> Message:
    return replace(message, payload=payload_of({"role": "model", "parts": parts}), payload_type=PAYLOAD_TYPE)


def _text_of(parts: Iterable[Json]) -> str:
    return "".join(part["text"] for part in parts if is_text(part))


def _with_calls(parts: list[Json], ids: dict[int, Json]) -> Iterator[Json]:
    """Yield the parts of a payload, with the calls that are kept, by their index, and their ids."""
    index = -1
    for part in parts:
        if CALL not in part:
            yield part
            continue
        index += 1
        if index in ids:
            yield {**part, CALL: {**part[CALL], **ids[index]}}
