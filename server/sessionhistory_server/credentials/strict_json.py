"""Parse JSON in which no object has two members of the same name."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def parse_object(data: bytes) -> dict[str, Any]:
    """Return an object. Two parsers may take different ones of two members with the same name.

    Raises:
        ValueError: the bytes are no such object. The error does not quote them.
    """
    try:
        found = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ValueError("no valid JSON") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - a value of another type is wrong JSON here
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("two members of the same name")
    return found


def _refuse(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
