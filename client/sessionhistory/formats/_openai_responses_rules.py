"""The rules of OpenAI's Responses API for ``input``, each with its public source."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from sessionhistory.formats._content import loaded, objects
from sessionhistory.formats._names import is_accepted_name
from sessionhistory.formats._openai_responses_items import (
    CALLS,
    OUTPUT_SUFFIX,
    REASONING,
    TEXT_CALLS,
    is_models,
    is_result,
    type_of,
)
from sessionhistory.formats._violations import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory.formats._content import Json
    from sessionhistory.formats._violations import Violation

MAX_CALL_ID_LENGTH: Final = 64

_TYPES: Final = "https://github.com/openai/openai-python/blob/main/src/openai/types/responses/"
_INPUT: Final = frozenset({"input_text", "input_image", "input_file"})
_PARTS: Final = {
    "system": _INPUT,
    "developer": _INPUT,
    "user": _INPUT,
    "assistant": frozenset({"output_text", "refusal"}),
}

_ROLE: Final = Rule(
    "role", f"the role must be one of {', '.join(_PARTS)}", _TYPES + "easy_input_message_param.py"
)
_CONTENT: Final = Rule(
    "content-required",
    "the message must have text or a list of parts: leave it out",
    _TYPES + "easy_input_message_param.py",
)
_INPUT_TYPE: Final = Rule(
    "input-part-type",
    f"a part of this role or result must be one of {', '.join(sorted(_INPUT))}",
    _TYPES + "response_input_message_content_list_param.py",
)
_OUTPUT_TYPE: Final = Rule(
    "output-part-type",
    "a part of the assistant must be output_text or refusal",
    "https://github.com/jeremychone/rust-genai/pull/119",
)
_CALL_SHAPE: Final = Rule(
    "call-shape",
    "a call has a call_id, and that of a function or a custom tool a name, and arguments or input in text",
    _TYPES + "response_function_tool_call_param.py",
)
_RESULT_SHAPE: Final = Rule(
    "result-shape",
    "a result has a call_id and an output",
    _TYPES + "response_input_item_param.py",
)
_ID_LENGTH: Final = Rule(
    "call-id-length",
    f"the call_id has at most {MAX_CALL_ID_LENGTH} characters",
    "https://github.com/openai/codex/issues/14355",
)
_ID_UNIQUE: Final = Rule(
    "call-id-unique",
    "each call needs a call_id of its own, because its result names it",
    _TYPES + "response_function_tool_call_param.py",
)
_FUNCTION_NAME: Final = Rule(
    "function-name",
    "the name of a function has 1 to 64 of the characters A-Z a-z 0-9 _ -",
    "https://github.com/microsoft/semantic-kernel/issues/5320",
)
_UNANSWERED: Final = Rule(
    "calls-answered",
    "a result must follow the call",
    "https://github.com/bytedance/trae-agent/issues/245",
)
_LONE_RESULT: Final = Rule(
    "result-follows-call",
    "a result must follow its call, once",
    "https://github.com/continuedev/continue/issues/10092",
)
_REASONING_SHAPE: Final = Rule(
    "reasoning-shape",
    "reasoning has an id and a list summary",
    _TYPES + "response_reasoning_item_param.py",
)
_REASONING_LAST: Final = Rule(
    "reasoning-followed",
    "the item of the answer must directly follow its reasoning",
    "https://github.com/openai/openai-node/issues/1567",
)
_ITEM_ID: Final = Rule(
    "item-id-unique",
    "an earlier item has the id: send the item once, or without id",
    "https://github.com/earendil-works/pi/issues/5149",
)

RULES: Final = {
    rule.name: rule
    for rule in (
        _ROLE,
        _CONTENT,
        _INPUT_TYPE,
        _OUTPUT_TYPE,
        _CALL_SHAPE,
        _RESULT_SHAPE,
        _ID_LENGTH,
        _ID_UNIQUE,
        _FUNCTION_NAME,
        _UNANSWERED,
        _LONE_RESULT,
        _REASONING_SHAPE,
        _REASONING_LAST,
        _ITEM_ID,
    )
}
"""The rules by name."""


def violations(request: Json | str | bytes) -> list[Violation]:
    """Return the rules of the API that the ``input`` of a request breaks, in its order."""
    return list(_all(objects(loaded(request).get("input"))))


def _all(items: list[Json]) -> Iterator[Violation]:
    calls: Counter[str] = Counter()
    answers = Counter(str(item.get("call_id")) for item in items if is_result(item))
    item_ids: set[str] = set()
    for index, item in enumerate(items):
        path, kind = f"input[{index}]", type_of(item)
        if kind == "message":
            yield from _message(item, path)
        elif kind in CALLS:
            yield from _call(item, path, calls, answers)
        elif is_result(item):
            yield from _result(item, path, calls)
        elif kind == REASONING:
            yield from _reasoning(item, items[index + 1 : index + 2], path)
        item_id = str(item.get("id") or "")
        if item_id and item_id in item_ids:
            yield _ITEM_ID.at(f"{path}.id")
        item_ids.add(item_id)


def _message(item: Json, path: str) -> Iterator[Violation]:
    role, content = item.get("role"), item.get("content")
    if not isinstance(role, str) or role not in _PARTS:
        yield _ROLE.at(f"{path}.role")
    elif not content or not isinstance(content, str | list):
        yield _CONTENT.at(f"{path}.content")
    elif isinstance(content, list):
        rule = _OUTPUT_TYPE if role == "assistant" else _INPUT_TYPE
        yield from _parts(content, _PARTS[role], rule, f"{path}.content")


def _parts(content: list[Json], allowed: frozenset[str], rule: Rule, path: str) -> Iterator[Violation]:
    for index, part in enumerate(objects(content)):
        if str(part.get("type")) not in allowed:
            yield rule.at(f"{path}[{index}].type")


def _call(item: Json, path: str, calls: Counter[str], answers: Counter[str]) -> Iterator[Violation]:
    """Check a call, and count it until its result comes."""
    kind, call_id = type_of(item), item.get("call_id")
    if not isinstance(call_id, str) or (
        kind in TEXT_CALLS and not all(isinstance(item.get(name), str) for name in ("name", TEXT_CALLS[kind]))
    ):
        yield _CALL_SHAPE.at(path)
        return
    if not 0 < len(call_id) <= MAX_CALL_ID_LENGTH:
        yield _ID_LENGTH.at(f"{path}.call_id")
    if call_id in calls:
        yield _ID_UNIQUE.at(f"{path}.call_id")
    if "name" in item and not is_accepted_name(item["name"]):
        yield _FUNCTION_NAME.at(f"{path}.name")
    if not answers[call_id]:
        yield _UNANSWERED.at(path)
    calls[call_id] += 1


def _result(item: Json, path: str, calls: Counter[str]) -> Iterator[Violation]:
    """Check a result, and close its call."""
    call_id, output = item.get("call_id"), item.get("output")
    is_text = type_of(item).removesuffix(OUTPUT_SUFFIX) in TEXT_CALLS
    if not isinstance(call_id, str) or (is_text and not isinstance(output, str | list)):
        yield _RESULT_SHAPE.at(path)
        return
    if calls[call_id] != 1:
        yield _LONE_RESULT.at(f"{path}.call_id")
    calls[call_id] -= 1
    if isinstance(output, list) and is_text:
        yield from _parts(output, _INPUT, _INPUT_TYPE, f"{path}.output")


def _reasoning(item: Json, following: list[Json], path: str) -> Iterator[Violation]:
    if not isinstance(item.get("id"), str) or not isinstance(item.get("summary"), list):
        yield _REASONING_SHAPE.at(path)
    if not following or not is_models(following[0]):
        yield _REASONING_LAST.at(path)
