"""JSON merge patch (RFC 7386) from text to text, so that values keep their bytes.

A value that the patch does not name keeps its text, white space included. A value that the patch sets has the
text of the patch, with its numbers of any size and precision, its escapes and its order of names. A new name
is added at the end. If an object that the patch changes has the same name twice, the last value counts, and
is written once.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

_NAME: Final = re.compile(r'[ \t\n\r]*("(?:[^"\\]|\\.)*")[ \t\n\r]*:[ \t\n\r]*')
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str)


class _Member(NamedTuple):
    """A member of an object: its value, and the text before and after the value without the comma."""

    before: str
    value: str | _Object
    after: str


_Object = dict[str, _Member]


def merge(target: str, patch: str) -> str:
    """Apply a patch to an object, and return the result.

    Args:
        target: The text of a valid JSON object.
        patch: The text of the patch, a valid JSON object.
    """
    names = _DECODER.decode(patch)
    start = target.index("{")
    merged, end = _read_object(target, start, names)
    _apply(merged, _read_object(patch, patch.index("{"), names)[0])
    return target[:start] + _write(merged) + target[end:]


def _read_object(text: str, start: int, names: dict[str, Any]) -> tuple[_Object, int]:
    """Read an object, and the objects in it that ``names`` also has as objects; return it and its end."""
    members: _Object = {}
    at = start + 1
    while found := _NAME.match(text, at):
        name = found[1][1:-1] if "\\" not in found[1] else json.loads(found[1])
        value, end = _read_value(text, found.end(), names.get(name))
        at = _end_of_space(text, end)
        members[name] = _Member(found[0], value, text[end:at])
        at += 1
        if text[at - 1] == "}":
            return members, at
    return members, _end_of_space(text, at) + 1


def _read_value(text: str, start: int, names: object) -> tuple[str | _Object, int]:
    if isinstance(names, dict) and text[start] == "{":
        return _read_object(text, start, names)
    _, end = _DECODER.raw_decode(text, start)
    return text[start:end], end


def _end_of_space(text: str, start: int) -> int:
    found = _SPACE.match(text, start)
    return found.end() if found else start


def _apply(target: _Object, patch: _Object) -> None:
    for name, new in patch.items():
        old = target.get(name)
        if new.value == "null":
            target.pop(name, None)
        elif isinstance(new.value, str):
            target[name] = (old or new)._replace(value=new.value)
        else:
            inner = old.value if old and isinstance(old.value, dict) else {}
            _apply(inner, new.value)
            target[name] = (old or new)._replace(value=inner)


def _write(members: _Object) -> str:
    return "{" + ",".join(m.before + _text(m.value) + m.after for m in members.values()) + "}"


def _text(value: str | _Object) -> str:
    return value if isinstance(value, str) else _write(value)
