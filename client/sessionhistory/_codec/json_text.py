"""Convert JSON values, which are text in the contract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from sessionhistory._codec.fields import invalid_field


def encode_json_object(value: object, path: str) -> str | None:
    """Return the text of a JSON object."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise invalid_field(path, "must be a mapping")
    return encode_json(dict(value), path)


def encode_json(value: object, path: str) -> str:
    """Return the text of any JSON value."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):  # the exception may quote the value
        raise invalid_field(
            path, "must be made of what JSON has: no NaN, no other types, no cycles"
        ) from None


def decode_json_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object of a text; an empty text is ``None``."""
    return _DECODER.decode(text) if text else None


def decode_json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the JSON value of a text."""
    return _DECODER.decode(text)


def _integer(digits: str) -> int | Decimal:
    """Return an integer of any length: Python refuses to parse an ``int`` with more than 4,300 digits."""
    try:
        return int(digits)
    except ValueError:
        return Decimal(digits)


_DECODER: Final = json.JSONDecoder(parse_int=_integer)
