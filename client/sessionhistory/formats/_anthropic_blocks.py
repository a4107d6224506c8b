"""Messages as blocks of Anthropic's Messages API, and back."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from sessionhistory.formats._anthropic_checks import NAME, THINKING, block_violations, blocks_of
from sessionhistory.formats._anthropic_media import block_of_media, media_of_block
from sessionhistory.formats._arrange import NO_RESULT, Caller
from sessionhistory.formats._content import Json, dumped, item_of, payload_of
from sessionhistory.formats._names import accepted_name
from sessionhistory.formats._repair import arguments_object
from sessionhistory.formats._turns import same_calls
from sessionhistory.types import JsonPart, MediaPart, Message, Part, ReasoningPart, Role, TextPart, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sessionhistory.formats._arrange import AnsweredCall

PROVIDER: Final = "anthropic"
PAYLOAD_TYPE: Final = "application/vnd.anthropic.content+json"
IS_ERROR: Final = "is_error"
"""The key of a result's metadata that says whether the tool failed."""

_USER_BLOCKS: Final = ("image", "document", "search_result", "container_upload")
"""The blocks of a user that a ``JsonPart`` may hold as they are, because no other part can."""
_OF_USER: Final = (*_USER_BLOCKS, "tool_result")


def text_block(text: str) -> Json:
    """Return the block of a text."""
    return {"type": "text", "text": text}


def said(message: Message) -> list[Json]:
    """Return the blocks of a message that is not the model's."""
    return list(_blocks((TextPart(message.content or ""), *message.parts)))


def result(answered: AnsweredCall) -> Json:
    """Return the block of the results of a call."""
    content = [block for one in answered.results for block in said(one)]
    made: Json = {"type": "tool_result", "tool_use_id": answered.call.id}
    if not answered.results:
        made["content"] = NO_RESULT
    elif content:
        is_text = len(content) == 1 and content[0]["type"] == "text"
        made["content"] = content[0]["text"] if is_text else content
    failed = any((one.metadata or {}).get(IS_ERROR) is True for one in answered.results)
    if failed and content and all(block["type"] == "text" for block in content):
        made["is_error"] = True
    return made


def of_model(caller: Caller) -> list[Json]:
    """Return the blocks of a message of the model: those of its payload, if they still are its own."""
    kept = _payload_blocks(caller.message)
    if kept is None:
        return _from_fields(caller.message, [answered.call for answered in caller.calls])
    return list(_with_calls(kept, {answered.index: answered.call.id for answered in caller.calls}))


def answer(blocks: list[Json]) -> Message:
    """Return the message of an answer: all its text as content, and its blocks as payload."""
    return _with_payload(replace(_message(blocks, ()), content=_text_of(blocks) or None), blocks)


def message_of_model(blocks: list[Json]) -> Message:
    """Return the message of a turn of the model, with its blocks as payload if its fields lack some."""
    texts = [block for block in blocks if block.get("type") == "text"]
    made = (
        replace(_message(blocks, ()), content=_text_of(texts))
        if len(texts) == 1
        else _message(blocks, ("text",))
    )
    return made if _from_fields(made, made.tool_calls) == blocks else _with_payload(made, blocks)


def reasoning_of(block: Json) -> ReasoningPart | None:
    """Return the reasoning of a block. Thinking whose text the API does not show is in the payload only."""
    if block.get("type") == "thinking" and block.get("thinking"):
        return ReasoningPart(block["thinking"], signature=str(block.get("signature") or ""))
    if block.get("type") == "redacted_thinking" and block.get("data"):
        return ReasoningPart(opaque=block["data"])
    return None


def body_of(blocks: Iterable[Json]) -> tuple[str | None, tuple[Part, ...]]:
    """Return the content and the parts of blocks that are not the model's."""
    parts = tuple(map(_part, map(without_cache, blocks)))
    match parts:
        case (TextPart(text),):
            return text, ()
    return None, parts


def without_cache(block: Json) -> Json:
    """Return a block without its breakpoint of the prompt cache."""
    return {name: value for name, value in block.items() if name != "cache_control"}


def result_message(block: Json) -> Message:
    """Return the message of a result, also of the marker for a call without a result."""
    content = block.get("content")
    told, parts = (content, ()) if isinstance(content, str) else body_of(blocks_of(content))
    return Message(
        role=Role.TOOL,
        content=told,
        parts=parts,
        tool_call_id=str(block.get("tool_use_id", "")),
        metadata={IS_ERROR: True} if block.get("is_error") is True else None,
    )


def _blocks(parts: Iterable[Part]) -> Iterator[Json]:
    """Yield the blocks of parts; blank texts, reasoning and media of other types have none."""
    for part in parts:
        made = _block(part)
        if made and str(made.get("text", "x")).strip():
            yield made


def _block(part: Part) -> Json | None:
    match part:
        case TextPart(text):
            return text_block(text)
        case MediaPart():
            return block_of_media(part)
        case JsonPart({"type": kind} as block) if kind in _USER_BLOCKS and _is_sound("user", dict(block)):
            return dict(block)
        case JsonPart(value):
            return text_block(dumped(value))
    return None


def _part(block: Json) -> Part:
    match block:
        case {"type": "text", "text": str(text)} if len(block) == len(("type", "text")):
            return TextPart(text)
    return media_of_block(block) or JsonPart(block)


def _call(block: Json) -> ToolCall:
    arguments = dumped(block.get("input", {}))
    return ToolCall(id=str(block.get("id", "")), name=str(block.get("name", "")), arguments=arguments)


def _call_block(call: ToolCall) -> Json:
    name = call.name if NAME.fullmatch(call.name) else accepted_name(call.name)
    return {"type": "tool_use", "id": call.id, "name": name, "input": arguments_object(call.arguments)}


def _message(blocks: list[Json], texts: tuple[str, ...]) -> Message:
    """Return a message with the calls and the reasoning of blocks, and those of these types as text."""
    parts = [
        TextPart(str(block.get("text"))) if block.get("type") in texts else reasoning_of(block)
        for block in blocks
    ]
    calls = tuple(_call(block) for block in blocks if block.get("type") == "tool_use")
    return Message(role=Role.ASSISTANT, tool_calls=calls, parts=tuple(part for part in parts if part))


def _with_payload(message: Message, blocks: list[Json]) -> Message:
    return replace(message, payload=payload_of(blocks), payload_type=PAYLOAD_TYPE)


def _text_of(blocks: Iterable[Json]) -> str:
    return "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")


def _from_fields(message: Message, calls: Iterable[ToolCall]) -> list[Json]:
    """Return the blocks that the fields of a message make: reasoning before the content, parts, calls."""
    first = list(takewhile(lambda part: isinstance(part, ReasoningPart), message.parts))
    parts = (*first, TextPart(message.content or ""), *message.parts[len(first) :])
    told = [_model_block(part, is_own=_is_own(message)) for part in parts]
    return [*(block for block in told if block), *map(_call_block, calls)]


def _model_block(part: Part, *, is_own: bool) -> Json | None:
    """Return the block of a part of the model; media have none."""
    if isinstance(part, ReasoningPart):
        return _thinking(part) if is_own else None
    return next((block for block in _blocks((part,)) if block["type"] == "text"), None)


def _is_own(message: Message) -> bool:
    """Return whether a model of Anthropic made a message. Anthropic refuses the reasoning of others."""
    if not message.provider and not message.model:
        return True
    return PROVIDER in message.provider.lower() or "claude" in message.model.lower()


def _thinking(part: ReasoningPart) -> Json | None:
    """Return the block of reasoning that Anthropic has signed or encrypted."""
    if part.opaque and not part.text:
        return {"type": "redacted_thinking", "data": part.opaque}
    if part.signature and not part.opaque:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return None


def _payload_blocks(message: Message) -> list[Json] | None:
    """Return the blocks in the payload of a message, if their text and calls are those of its fields."""
    found = item_of(message, PAYLOAD_TYPE)
    if not isinstance(found, list) or not all(map(_is_models, found)):
        return None
    try:
        told = answer(found)
    except RecursionError:
        return None
    sent = [without_cache(block) for block in found if _is_sent(block)]
    same = (told.content or "") == _text_of(said(message)) and same_calls(told, message)
    return sent if same and all(_is_sound("assistant", {**block, "id": "x"}) for block in sent) else None


def _is_models(block: Any) -> bool:  # noqa: ANN401 - any JSON
    return isinstance(block, dict) and isinstance(block.get("type"), str) and block["type"] not in _OF_USER


def _is_sound(role: str, block: Json) -> bool:
    return next(block_violations("", role, block), None) is None


def _is_sent(block: Json) -> bool:
    """Return whether the API takes a block back: not an empty text, nor thinking without its signature."""
    if block["type"] == "text":
        return bool(str(block.get("text", "")).strip())
    return block["type"] not in THINKING or bool(block.get("signature") or block.get("data"))


def _with_calls(blocks: list[Json], ids: dict[int, str]) -> Iterator[Json]:
    """Yield the blocks of a payload, with the calls that are kept, by their index, and their ids."""
    index = -1
    for block in blocks:
        if block["type"] != "tool_use":
            yield block
            continue
        index += 1
        if index in ids:
            yield {**block, "id": ids[index]}
