"""The rules of LangChain for a list of dumped messages, each with its public source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionhistory.formats._content import loaded
from sessionhistory.formats._violations import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory.formats._content import Json
    from sessionhistory.formats._violations import Violation

_REFERENCE: Final = "https://reference.langchain.com/python/langchain-core/messages/"
_RESULTS: Final = "https://docs.langchain.com/oss/python/langchain/errors/INVALID_TOOL_RESULTS"
_TYPES: Final = ("system", "human", "ai", "tool", "function", "chat", "remove")

_TYPE: Final = Rule(
    "type",
    f"the type must be one of {', '.join(_TYPES)}, and data an object",
    "https://docs.langchain.com/oss/python/langchain/errors/MESSAGE_COERCION_FAILURE",
)
_CONTENT: Final = Rule(
    "content",
    "content must be text, or a list of texts and of objects with a type",
    _REFERENCE + "base/BaseMessage",
)
_CALL_SHAPE: Final = Rule(
    "call-shape",
    "a call has a name and an id that are text, and args that are an object",
    _REFERENCE + "tool/ToolCall",
)
_CALL_ID: Final = Rule(
    "call-id-unique", "the calls of a message need ids of their own, by which results name them", _RESULTS
)
_RESULT_ID: Final = Rule(
    "result-id", "a tool message has the id of the call that it answers", _REFERENCE + "tool/ToolMessage"
)
_ANSWERED: Final = Rule(
    "calls-answered", "a tool message for each call must follow the message with the calls", _RESULTS
)
_ORPHAN: Final = Rule(
    "result-has-call", "a tool message must follow the message with its call: leave it out", _RESULTS
)
_ONCE: Final = Rule("one-result", "a call has exactly one tool message: join them", _RESULTS)

RULES: Final = {
    rule.name: rule
    for rule in (_TYPE, _CONTENT, _CALL_SHAPE, _CALL_ID, _RESULT_ID, _ANSWERED, _ORPHAN, _ONCE)
}
"""The rules by name."""


def violations(request: Json | str | bytes) -> list[Violation]:
    """Return the rules that dumped messages break: ``{"messages": [...]}`` as of ``messages_to_dict``."""
    told = loaded(request).get("messages")
    items: list[Any] = told if isinstance(told, list) else [told]
    found = [broken for index, item in enumerate(items) for broken in _of_item(item, f"messages[{index}]")]
    return found or list(_of_order(items))


def _of_item(item: object, path: str) -> Iterator[Violation]:
    data = item.get("data") if isinstance(item, dict) else None
    if not isinstance(item, dict) or item.get("type") not in _TYPES or not isinstance(data, dict):
        yield _TYPE.at(path)
        return
    if not _is_content(data.get("content")):
        yield _CONTENT.at(f"{path}.data.content")
    yield from _of_calls(data.get("tool_calls") or [], f"{path}.data.tool_calls")
    result = data.get("tool_call_id")
    if item["type"] == "tool" and not (isinstance(result, str) and result):
        yield _RESULT_ID.at(f"{path}.data.tool_call_id")


def _of_calls(calls: object, path: str) -> Iterator[Violation]:
    if not isinstance(calls, list):
        yield _CALL_SHAPE.at(path)
        return
    for index, call in enumerate(calls):
        if not _is_call(call):
            yield _CALL_SHAPE.at(f"{path}[{index}]")
    ids = [str(call.get("id")) for call in calls if isinstance(call, dict)]
    if len(set(ids)) < len(ids):
        yield _CALL_ID.at(path)


def _of_order(items: list[Json]) -> Iterator[Violation]:
    open_ids: set[str] = set()
    answered: set[str] = set()
    for index, item in enumerate(items):
        data, path = item["data"], f"messages[{index}]"
        if item["type"] != "tool":
            if open_ids:
                yield _ANSWERED.at(path)
            open_ids, answered = {call["id"] for call in data.get("tool_calls") or ()}, set()
            continue
        result = data["tool_call_id"]
        if result in open_ids:
            open_ids.discard(result)
            answered.add(result)
        else:
            yield (_ONCE if result in answered else _ORPHAN).at(f"{path}.data.tool_call_id")
    if open_ids:
        yield _ANSWERED.at(f"messages[{len(items)}]")


def _is_content(content: object) -> bool:
    if not isinstance(content, list):
        return isinstance(content, str)
    return all(
        isinstance(one, str) or (isinstance(one, dict) and isinstance(one.get("type"), str))
        for one in content
    )


def _is_call(call: object) -> bool:
    if not isinstance(call, dict):
        return False
    names = [call.get(name) for name in ("name", "id")]
    return all(isinstance(name, str) and name for name in names) and isinstance(call.get("args"), dict)
