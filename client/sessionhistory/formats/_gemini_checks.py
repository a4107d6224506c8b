"""Check a request against the rules of Gemini's ``generateContent``."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory.formats._content import Json, loaded, objects
from sessionhistory.formats._gemini_names import camel
from sessionhistory.formats._gemini_rules import violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory.formats._violations import Violation

NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
CALL: Final = "functionCall"
RESPONSE: Final = "functionResponse"
SIGNATURE: Final = "thoughtSignature"
DATA: Final = (
    "text",
    "inlineData",
    "fileData",
    CALL,
    RESPONSE,
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
)
"""The members of a part of which it has exactly one."""

_OBJECTS: Final = ("inlineData", "fileData")
_RESPONSE_ROLES: Final = ("user", "function")


class _Content(NamedTuple):
    """A content of a request: its place, its role and its parts."""

    path: str
    role: str
    parts: list[Json]

    def places(self, member: str) -> list[tuple[str, Json]]:
        """Return the values of a member of the parts, each with its place."""
        return [
            (f"{self.path}.parts[{index}].{member}", part[member])
            for index, part in enumerate(self.parts)
            if isinstance(part.get(member), dict)
        ]


def violations(request: Json | str | bytes, *, signatures: bool = True) -> list[Violation]:
    """Return the rules of ``generateContent`` that a request breaks.

    Args:
        request: The body of the request, or the part of it that ``to_request`` makes.
        signatures: Whether the model wants signatures of calls, as models from Gemini 3 on do.
    """
    told = camel(loaded(request))
    contents = [
        _Content(f"contents[{index}]", str(one.get("role")), parts_of(one))
        for index, one in enumerate(objects(told.get("contents")))
    ]
    found = [*_system(told), *_order(contents)]
    for content in contents:
        for index, part in enumerate(content.parts):
            found += part_violations(f"{content.path}.parts[{index}]", content.role, part)
    found += _calls(contents)
    if signatures:
        found += (one for content in contents for one in _signature(content))
    return found


def parts_of(content: object) -> list[Json]:
    """Return the parts of a content."""
    parts = content.get("parts") if isinstance(content, dict) else None
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def part_violations(path: str, role: str, part: Json) -> Iterator[Violation]:
    """Yield the rules that a part breaks, apart from those on other parts."""
    kinds = [member for member in DATA if member in part]
    if len(kinds) != 1:
        yield violation("part-data", path)
        return
    kind, value = kinds[0], part[kinds[0]]
    if kind in (*_OBJECTS, CALL, RESPONSE) and not isinstance(value, dict):
        value = {}
    if kind == "text" and not value and not part.get(SIGNATURE):
        yield violation("text-present", path)
    elif kind == "inlineData" and not (value.get("mimeType") and value.get("data")):
        yield violation("blob-data", path)
    elif kind == "fileData" and not value.get("fileUri"):
        yield violation("file-uri", path)
    elif kind in (CALL, RESPONSE):
        yield from _function(path, role, kind, value)


def _system(told: Json) -> Iterator[Violation]:
    for index, part in enumerate(parts_of(told.get("systemInstruction"))):
        path = f"systemInstruction.parts[{index}]"
        if "text" not in part:
            yield violation("system-text", path)
        elif not part["text"]:
            yield violation("text-present", path)


def _order(contents: list[_Content]) -> Iterator[Violation]:
    """Check the roles of the contents, and that each has parts."""
    if not contents:
        yield violation("contents-present", "contents")
        return
    if contents[0].role == "model":
        yield violation("first-is-user", contents[0].path)
    if contents[-1].role == "model":
        yield violation("last-is-user", contents[-1].path)
    for content in contents:
        if content.role not in (*_RESPONSE_ROLES, "model"):
            yield violation("known-role", content.path)
        if not content.parts:
            yield violation("parts-present", content.path)


def _function(path: str, role: str, kind: str, value: Json) -> Iterator[Violation]:
    """Check a call or a response."""
    if (kind == CALL) != (role == "model"):
        yield violation("call-role", path)
    if not NAME.fullmatch(str(value.get("name", ""))):
        yield violation("function-name", f"{path}.{kind}.name")
    if kind == CALL and not isinstance(value.get("args", {}), dict):
        yield violation("call-arguments", f"{path}.{kind}.args")
    if kind == RESPONSE and not isinstance(value.get("response"), dict):
        yield violation("response-object", f"{path}.{kind}.response")


def _calls(contents: list[_Content]) -> Iterator[Violation]:
    """Check that the content behind calls has their responses, and nothing else."""
    nothing = _Content("", "", [])
    for before, content, after in zip([nothing, *contents], contents, [*contents[1:], nothing], strict=False):
        calls, responses = content.places(CALL), after.places(RESPONSE)
        if calls and before.role not in _RESPONSE_ROLES:
            yield violation("call-place", content.path)
        if len(calls) != len(responses) and calls:
            yield violation("responses-count", content.path)
        elif _named(calls) != _named(responses) and calls:
            yield violation("response-of-call", after.path)
        own = content.places(RESPONSE)
        if own and not before.places(CALL):
            yield violation("responses-follow", content.path)
        if own and len(own) != len(content.parts):
            yield violation("responses-alone", content.path)


def _named(places: list[tuple[str, Json]]) -> Counter[tuple[str, str]]:
    return Counter((str(value.get("id") or ""), str(value.get("name"))) for _, value in places)


def _signature(content: _Content) -> Iterator[Violation]:
    """Check that the first call of a content has a signature."""
    for index, part in enumerate(content.parts):
        if CALL in part:
            if not part.get(SIGNATURE):
                yield violation("call-signature", f"{content.path}.parts[{index}]")
            return
