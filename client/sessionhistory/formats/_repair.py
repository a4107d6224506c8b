"""Repair the JSON of arguments whose stream broke."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple, Never

EMPTY_OBJECT: Final = "{}"
ARGUMENTS_KEY: Final = "arguments"
"""The member that holds a text of arguments that is no JSON object, for APIs that want an object."""

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},]|"', re.DOTALL)
_HALF_ESCAPE: Final = re.compile(r"(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3}|u[dD][89abAB][0-9a-fA-F]{2})?)\Z")
_CLOSERS: Final = {"{": "}", "[": "]"}


def is_json(text: str) -> bool:
    """Return whether a text is JSON."""
    return _loaded(text) is not _INVALID


def repaired(text: str) -> str:
    """Return JSON from the beginning of a JSON text; ``{}`` if the text cannot be repaired.

    Close the string, arrays and objects that are open at the end. If that is no JSON, for example because a
    name has no value yet, drop the member that is not complete.
    """
    if is_json(text):
        return text
    whole = _scan(text)
    shorter = text[: whole.complete_until]
    made = (_closed(text, whole), _closed(shorter, _scan(shorter)))
    return next((one for one in made if is_json(one)), EMPTY_OBJECT)


class _Open(NamedTuple):
    """What a beginning of JSON leaves open: the marks that close it, and whether it ends in a string."""

    closers: list[str]
    in_string: bool
    complete_until: int
    """The end of the last part that is complete: before a comma, or behind an opening mark."""


def _scan(text: str) -> _Open:
    closers: list[str] = []
    complete_until = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark == '"':
            return _Open(closers, in_string=True, complete_until=complete_until)
        if mark in _CLOSERS:
            closers.append(_CLOSERS[mark])
            complete_until = token.end()
        elif mark == ",":
            complete_until = token.start()
        elif mark in "]}" and closers:
            closers.pop()
    return _Open(closers, in_string=False, complete_until=complete_until)


def _closed(text: str, found: _Open) -> str:
    end = _without_half_escape(text) + '"' if found.in_string else text
    return end + "".join(reversed(found.closers))


def arguments_object(text: str) -> dict[str, Any]:
    """Return arguments as a JSON object, for APIs that want one.

    A text that is no JSON object is repaired; if nothing of it is left, the object has it as its only member.
    """
    found = _loaded(repaired(text))
    if isinstance(found, dict) and (found or not text.strip() or is_json(text)) and _is_finite(found):
        return found
    return {ARGUMENTS_KEY: text}


def _is_finite(value: object) -> bool:
    """Return whether a value can be sent as JSON: Python reads ``1e999`` as a number that JSON lacks."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return True


def _without_half_escape(text: str) -> str:
    match = _HALF_ESCAPE.search(text[-16:]) if text.endswith(tuple("\\uU0123456789abcdefABCDEF")) else None
    return text[: len(text) - len(match[1])] if match else text


_INVALID: Final = object()


def _refuse(constant: str) -> Never:
    raise ValueError(constant)


def _loaded(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _INVALID
