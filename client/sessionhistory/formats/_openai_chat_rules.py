"""The rules of OpenAI's Chat Completions API for ``messages``, each with its public source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory.formats._content import loaded, objects
from sessionhistory.formats._names import is_accepted_name
from sessionhistory.formats._violations import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sessionhistory.formats._content import Json
    from sessionhistory.formats._violations import Violation

MAX_CALL_ID_LENGTH: Final = 40
MAX_CALLS: Final = 128

_TYPES: Final = "https://github.com/openai/openai-python/blob/main/src/openai/types/chat/"
_TEXT: Final = frozenset({"text"})
_PARTS: Final = {
    "system": _TEXT,
    "developer": _TEXT,
    "tool": _TEXT,
    "assistant": frozenset({"text", "refusal"}),
    "user": frozenset({"text", "image_url", "input_audio", "file"}),
}

_ROLE: Final = Rule(
    "role",
    f"the role must be one of {', '.join(_PARTS)}",
    _TYPES + "chat_completion_message_param.py",
)
_CONTENT: Final = Rule(
    "content-required",
    "the message must have text or a list of parts, or be the model's with calls, refusal or audio",
    _TYPES + "chat_completion_assistant_message_param.py",
)
_PART_TYPE: Final = Rule(
    "part-type",
    "the role does not take a part of this type: send it in a message of the user",
    _TYPES + "chat_completion_content_part_param.py",
)
_NAME: Final = Rule(
    "name-characters",
    "a name has 1 to 64 of the characters A-Z a-z 0-9 _ -",
    "https://github.com/microsoft/autogen/issues/4157",
)
_FUNCTION_NAME: Final = Rule(
    "function-name",
    "the name of a function has 1 to 64 of the characters A-Z a-z 0-9 _ -",
    "https://github.com/microsoft/semantic-kernel/issues/5320",
)
_CALL_SHAPE: Final = Rule(
    "call-shape",
    "a call has an id, the type function or custom, and a name and arguments that are text",
    _TYPES + "chat_completion_message_function_tool_call_param.py",
)
_CALLS_EMPTY: Final = Rule(
    "calls-not-empty",
    "tool_calls must have a call: leave it out",
    "https://github.com/openai/openai-node/pull/1341",
)
_CALLS_MANY: Final = Rule(
    "calls-at-most-128",
    "a message has at most 128 calls: split it",
    "https://github.com/openai/openai-dotnet/issues/317",
)
_ID_LENGTH: Final = Rule(
    "call-id-length",
    f"the id of a call has at most {MAX_CALL_ID_LENGTH} characters",
    "https://github.com/vercel/ai/issues/5171",
)
_ID_UNIQUE: Final = Rule(
    "call-id-unique",
    "the calls of a message need ids of their own, because each result names its call by the id",
    _TYPES + "chat_completion_tool_message_param.py",
)
_CALLS_ROLE: Final = Rule(
    "calls-of-assistant",
    "only a message of the assistant has calls",
    _TYPES + "chat_completion_assistant_message_param.py",
)
_UNANSWERED: Final = Rule(
    "calls-answered",
    "a tool message for each call must directly follow the message",
    "https://github.com/pipecat-ai/pipecat/issues/309",
)
_LONE_RESULT: Final = Rule(
    "result-follows-call",
    "a tool message must directly follow the message with its call, once for each call",
    "https://github.com/openai/openai-go/issues/43",
)

RULES: Final = {
    rule.name: rule
    for rule in (
        _ROLE,
        _CONTENT,
        _PART_TYPE,
        _NAME,
        _FUNCTION_NAME,
        _CALL_SHAPE,
        _CALLS_EMPTY,
        _CALLS_MANY,
        _ID_LENGTH,
        _ID_UNIQUE,
        _CALLS_ROLE,
        _UNANSWERED,
        _LONE_RESULT,
    )
}
"""The rules by name."""


def violations(request: Json | str | bytes) -> list[Violation]:
    """Return the rules of the API that the ``messages`` of a request break, in their order."""
    return list(_all(objects(loaded(request).get("messages"))))


def _all(items: list[Json]) -> Iterator[Violation]:
    open_ids: list[str] = []
    calling = ""
    for index, item in enumerate(items):
        path = f"messages[{index}]"
        if open_ids and item.get("role") != "tool":
            yield _UNANSWERED.at(calling)
            open_ids = []
        if not isinstance(item.get("role"), str) or item["role"] not in _PARTS:
            yield _ROLE.at(f"{path}.role")
            continue
        for check in _CHECKS:
            yield from check(item, path)
        if item["role"] == "tool":
            yield from _answer(item, open_ids, path)
        else:
            open_ids, calling = _ids(item), f"{path}.tool_calls"
    if open_ids:
        yield _UNANSWERED.at(calling)


def _answer(item: Json, open_ids: list[str], path: str) -> Iterator[Violation]:
    """Close the call of a result."""
    if item.get("tool_call_id") in open_ids:
        open_ids.remove(item["tool_call_id"])
    else:
        yield _LONE_RESULT.at(f"{path}.tool_call_id")


def _ids(item: Json) -> list[str]:
    return [str(call.get("id", "")) for call in objects(item.get("tool_calls"))]


def content_violations(item: Json, path: str) -> Iterator[Violation]:
    """Yield the rules that the content of an item breaks. Its role is known."""
    content = item.get("content")
    if isinstance(content, list) and content:
        for index, part in enumerate(objects(content)):
            if str(part.get("type")) not in _PARTS[item["role"]]:
                yield _PART_TYPE.at(f"{path}.content[{index}].type")
        return
    spoken = item["role"] == "assistant" and any(
        item.get(name) for name in ("tool_calls", "function_call", "refusal", "audio")
    )
    if not isinstance(content, str) and not (content is None and spoken):
        yield _CONTENT.at(f"{path}.content")


def _name(item: Json, path: str) -> Iterator[Violation]:
    if "name" in item and not is_accepted_name(item["name"]):
        yield _NAME.at(f"{path}.name")


def _calls(item: Json, path: str) -> Iterator[Violation]:
    if "tool_calls" not in item:
        return
    path = f"{path}.tool_calls"
    calls = objects(item["tool_calls"])
    if item["role"] != "assistant":
        yield _CALLS_ROLE.at(path)
    if not calls:
        yield _CALLS_EMPTY.at(path)
    elif len(calls) > MAX_CALLS:
        yield _CALLS_MANY.at(path)
    ids = _ids(item)
    for index, call in enumerate(calls):
        yield from _call(call, f"{path}[{index}]")
        if ids[index] in ids[:index]:
            yield _ID_UNIQUE.at(f"{path}[{index}].id")


def _call(call: Json, path: str) -> Iterator[Violation]:
    kind = call.get("type")
    (function,) = objects([call.get(kind) if isinstance(kind, str) else None])
    text = function.get("input" if kind == "custom" else "arguments")
    call_id = call.get("id")
    if kind not in ("function", "custom") or not call_id or not all(map(_is_text, (call_id, text))):
        yield _CALL_SHAPE.at(path)
        return
    if len(call_id) > MAX_CALL_ID_LENGTH:
        yield _ID_LENGTH.at(f"{path}.id")
    if not is_accepted_name(function.get("name")):
        yield _FUNCTION_NAME.at(f"{path}.{kind}.name")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_CHECKS: Final[tuple[Callable[[Json, str], Iterator[Violation]], ...]] = (content_violations, _name, _calls)
