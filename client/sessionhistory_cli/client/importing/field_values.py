"""Read values of the contract that JSON has no type for: times, bytes, members of enums, JSON as text."""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import StrEnum

    from sessionhistory_cli.client.importing.json_fields import JsonFields

    E = TypeVar("E", bound=StrEnum)

_UNKNOWN: Final = "unknown"
_BELOW_MICROSECOND: Final = re.compile(r"\.\d{6}\d*[1-9]")
FINER: Final = "times are stored to the microsecond"


def time(fields: JsonFields, name: str) -> datetime | None:
    """Return a time: text in ISO 8601, in UTC if it names no zone, or seconds since 1970.

    Raises:
        BadFieldError: the field is neither.
    """
    if fields.has_type(name, int, float) and not fields.has_type(name, bool):
        return _since_1970(fields, name)
    text = fields.optional(name, str)
    if text is None:
        return None
    if _BELOW_MICROSECOND.search(text):
        fields.count(name, FINER)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise fields.error(name, "must be a time in ISO 8601") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _since_1970(fields: JsonFields, name: str) -> datetime:
    seconds: Any = fields.any(name)
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        raise fields.error(name, "must be seconds since 1970") from None


def member(fields: JsonFields, name: str, members: Iterable[E], *, prefix: str) -> E | None:
    """Return a member of an enum by its word or by its name in the contract, ``None`` if it is absent.

    Raises:
        BadFieldError: the field is neither.
    """
    word = fields.optional(name, str)
    if word is None:
        return None
    words = {one.value: one for one in members if one.value != _UNKNOWN}
    plain = word.removeprefix(prefix).lower() if word.startswith(prefix) else word
    if plain not in words:
        raise fields.error(name, f"must be one of {', '.join(words)}")
    return words[plain]


def base64_bytes(fields: JsonFields, name: str) -> bytes | None:
    """Return bytes that are written in base64, ``None`` if they are absent.

    Raises:
        BadFieldError: the field is not in base64.
    """
    text = fields.optional(name, str)
    return None if text is None else decoded(fields, name, text)


def decoded(fields: JsonFields, name: str, text: str) -> bytes:
    """Return the bytes of a text in base64.

    Raises:
        BadFieldError: the text is not in base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise fields.error(name, "must be in base64") from None


def json_object(fields: JsonFields, name: str) -> dict[str, Any] | None:
    """Return a JSON object, or one that is written as text; ``None`` if it is absent or an empty text.

    Raises:
        BadFieldError: the field is neither.
    """
    if not fields.has_type(name, str):
        return fields.optional(name, dict)
    text = fields.required(name, str)
    found = json_text(fields, name, text) if text else None
    if not isinstance(found, dict | None):
        raise fields.error(name, "must be an object")
    return found


def json_text(fields: JsonFields, name: str, text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the JSON value of a text.

    Raises:
        BadFieldError: the text is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise fields.error(name, "must be JSON") from None
