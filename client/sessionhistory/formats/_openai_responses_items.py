"""Messages as the items of ``input`` in OpenAI's Responses API, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sessionhistory.formats._content import body, data_url, dumped, item_of, media_of, payload_of
from sessionhistory.formats._names import accepted_name
from sessionhistory.types import JsonPart, MediaPart, Message, ReasoningPart, Role, TextPart, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sessionhistory.formats._content import Body, Json
    from sessionhistory.types import Part

PAYLOAD_TYPE: Final = "application/vnd.openai.response-item+json"
"""The ``payload_type`` of an item of this API, or of the list of items of an answer."""

REASONING: Final = "reasoning"
OUTPUT_SUFFIX: Final = "_output"
TEXT_CALLS: Final = {"function_call": "arguments", "custom_tool_call": "input"}
"""The types of calls whose result is text, and the member with the text of the model."""

CALLS: Final = TEXT_CALLS | {
    "computer_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
}
"""The types of calls that the caller answers, and the member with the name of the tool."""

SEPARATOR: Final = "\n\n"
"""The text between two texts of an answer in ``content``."""

_INPUT: Final = ("input_text", "input_image", "input_file")
_OUTPUT: Final = ("output_text", "refusal")
_MALFORMED: Final = (AttributeError, KeyError, RecursionError, TypeError, ValueError)


def type_of(item: Json) -> str:
    """Return the type of an item. A message may have none."""
    return str(item.get("type") or "message")


def is_models(item: Json) -> bool:
    """Return whether the model makes such items: its messages, calls, reasoning, and all tools of the API."""
    kind = type_of(item)
    return item.get("role") == Role.ASSISTANT if kind == "message" else not is_result(item)


def is_result(item: Json) -> bool:
    """Return whether an item is the result of a call that the caller answers."""
    kind = type_of(item)
    return kind.endswith(OUTPUT_SUFFIX) and kind.removesuffix(OUTPUT_SUFFIX) in CALLS


def read_answer(items: Sequence[Json]) -> Message:
    """Return the message of the items of an answer, without payload."""
    texts = texts_of(items)
    return Message(
        role=Role.ASSISTANT,
        content=SEPARATOR.join(texts) if texts else None,
        tool_calls=tuple(read_call(item) for item in items if type_of(item) in CALLS),
        parts=tuple(part for item in items if type_of(item) == REASONING for part in read_reasoning(item)),
    )


def read_group(items: Sequence[Json]) -> Message:
    """Return the message of the model's items in a request, with the items as payload if they are more."""
    message = read_answer(items)
    texts = texts_of(items)
    if len(texts) > 1:
        parts = (*message.parts, *map(TextPart, texts))
        message = replace(message, content=None, parts=parts)
    if written_answer(message) == items:
        return message
    return replace(message, payload=payload_of(items), payload_type=PAYLOAD_TYPE)


def read_item(item: Json) -> Message:
    """Return the message of a caller's item, with the item as payload if the fields do not give it back."""
    message = _read_item(item)
    made = written_output(message) if message.role is Role.TOOL else written_message(message)
    if made == item:
        return message
    return replace(message, payload=payload_of(item), payload_type=PAYLOAD_TYPE)


def texts_of(items: Iterable[Json]) -> list[str]:
    """Return the texts of the model's messages: its answers and refusals."""
    messages = [item for item in items if type_of(item) == "message"]
    return [text for item in messages for text in _texts_of(item["content"]) if text]


def _texts_of(content: str | list[Json]) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [part.get("text") or part.get("refusal") or "" for part in content]


def read_call(item: Json) -> ToolCall:
    """Return the call of an item."""
    kind = type_of(item)
    told = item.get(CALLS[kind], "")
    arguments = told if isinstance(told, str) else dumped(told)
    return ToolCall(
        id=item["call_id"], name=item.get("name") or kind.removesuffix("_call"), arguments=arguments
    )


def read_reasoning(item: Json) -> list[Part]:
    """Return the reasoning of an item as a part, if there is any."""
    blocks = (*(item.get("summary") or ()), *(item.get("content") or ()))
    text = SEPARATOR.join(block["text"] for block in blocks)
    opaque = item.get("encrypted_content") or ""
    return [ReasoningPart(text, opaque=opaque)] if text or opaque else []


def own_answer(message: Message) -> list[Json] | None:
    """Return the items in the payload of a message of the model, if they agree with the fields."""
    items = item_of(message, PAYLOAD_TYPE)
    items = [items] if isinstance(items, dict) else items
    try:
        found = read_answer(items)
        if (
            message.role is not Role.ASSISTANT
            or not all(is_models(item) and _is_sound(item) for item in items)
            or _said(found) != _said(message)
        ):
            return None
    except _MALFORMED:
        return None
    return [item for item in items if type_of(item) != "message" or item["content"]]


def own_item(message: Message) -> Json | None:
    """Return the item in the payload of another message, if it agrees with the fields."""
    item = item_of(message, PAYLOAD_TYPE)
    try:
        found = _read_item(item)
    except _MALFORMED:
        return None
    same = (found.role, found.content, found.parts) == (message.role, message.content, message.parts)
    told = item.get("content") if found.role is not Role.TOOL else _text_output(item)
    return dict(item) if same and _has_parts(told, _INPUT) else None


def _text_output(item: Json) -> object:
    """Return the output of a result if it is that of a call with text. Others are objects of any form."""
    return item.get("output") if type_of(item).removesuffix(OUTPUT_SUFFIX) in TEXT_CALLS else None


def _has_parts(content: object, kinds: tuple[str, ...]) -> bool:
    """Return whether content is text, a list of parts of these types, or absent."""
    if not isinstance(content, list):
        return isinstance(content, str | None)
    return all(isinstance(part, dict) and part.get("type") in kinds for part in content)


def _is_sound(item: Json) -> bool:
    """Return whether an item of the model has what the API wants of it, by the types of its members."""
    kind = type_of(item)
    if not isinstance(item.get("type"), str | None) or not isinstance(item.get("id"), str | None):
        return False
    if kind == "message":
        return _has_parts(item["content"], _OUTPUT)
    if kind == REASONING:
        return isinstance(item.get("id"), str) and isinstance(item.get("summary"), list)
    texts = ("name", TEXT_CALLS[kind]) if kind in TEXT_CALLS else ()
    return all(isinstance(item.get(name), str) for name in texts)


def _said(message: Message) -> tuple[Any, ...]:
    texts = (part.text for part in body(message) if isinstance(part, TextPart))
    media = [part for part in message.parts if isinstance(part, MediaPart)]
    return SEPARATOR.join(texts), message.tool_calls, media


def _read_item(item: Json) -> Message:
    if is_result(item):
        content, parts = _read_content(item.get("output"))
        return Message(role=Role.TOOL, tool_call_id=item["call_id"], content=content, parts=parts)
    content, parts = _read_content(item["content"])
    return Message(role=Role(item["role"]), content=content, parts=parts)


def _read_content(content: object) -> tuple[str | None, tuple[Part, ...]]:
    if isinstance(content, str | None):
        return content, ()
    parts = content if isinstance(content, list) else [content]
    return None, tuple(map(_read_part, parts))


def _read_part(part: Json) -> Part:
    """Return a part; one that the contract has no field for is JSON."""
    match part:
        case {"type": "input_text" | "output_text", "text": str(text)}:
            return TextPart(text)
        case {"type": "input_image", "image_url": str(url)}:
            return media_of(url)
        case {"type": "input_file", "file_data": str(url)}:
            return media_of(url)
    return JsonPart(part)


def written_answer(message: Message) -> list[Json]:
    """Return the items of a message of the model by its fields: its text, then its calls.

    Reasoning needs its id, which only a payload has.
    """
    return [*_written_texts(message), *map(written_call, message.tool_calls)]


def _written_texts(message: Message) -> Iterator[Json]:
    texts = [part.text for part in body(message) if isinstance(part, TextPart)]
    if len(texts) == 1:
        yield {"role": Role.ASSISTANT.value, "content": texts[0]}
    elif texts:
        content = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
        yield {"role": Role.ASSISTANT.value, "content": content}


def written_call(call: ToolCall) -> Json:
    """Return the item of a call."""
    name = accepted_name(call.name)
    return {"type": "function_call", "call_id": call.id, "name": name, "arguments": call.arguments}


def written_message(message: Message) -> Json:
    """Return the item of a message of the user or the application. Only the user's has media."""
    takes_media = message.role is Role.USER
    parts = [part for part in body(message) if takes_media or isinstance(part, TextPart)]
    return {"role": message.role.value, "content": _written_content(message, parts)}


def written_output(*results: Message) -> Json:
    """Return the item of the results of a call."""
    parts = [part for result in results for part in body(result)]
    content = _written_content(results[0], parts) if len(results) == 1 else list(map(_written_part, parts))
    return {
        "type": "function_call_output",
        "call_id": results[0].tool_call_id,
        "output": content or "",
    }


def refused_media(message: Message) -> list[Json]:
    """Return the media that the role of a message does not take, as parts of a user's message."""
    if message.role in (Role.USER, Role.TOOL):
        return []
    return [_written_part(part) for part in body(message) if isinstance(part, MediaPart)]


def _written_content(message: Message, parts: list[Body]) -> str | list[Json]:
    if all(isinstance(part, ReasoningPart) for part in message.parts):
        return message.content or ""
    return list(map(_written_part, parts))


def _written_part(part: Body) -> Json:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    if part.mime_type.startswith("image/") or (part.uri is not None and not part.mime_type):
        return {"type": "input_image", "image_url": data_url(part), "detail": "auto"}
    if part.uri is not None:
        return {"type": "input_file", "file_url": part.uri}
    return {"type": "input_file", "filename": "file", "file_data": data_url(part)}
