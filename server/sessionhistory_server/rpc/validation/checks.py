"""Rules for single values, and the list of the violations of a request.

A description names the rule and its limit, never the value: values are conversations.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NoReturn

from sessionhistory_server.errors import FieldViolation, InvalidArgumentError
from sessionhistory_server.limits import (
    ID_CHARACTERS,
    MAX_APPLICATION_ID_CHARACTERS,
    MAX_FILTER_VALUES,
    MAX_ID_CHARACTERS,
    MAX_JSON_DEPTH,
    MAX_USER_ID_CHARACTERS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence, Sized

    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
    from google.protobuf.timestamp_pb2 import Timestamp

# More violations would not fit the 8 KiB that gRPC allows for the metadata of an answer.
MAX_VIOLATIONS: Final = 10

MIN_SECONDS: Final = -62_135_596_800
"""The start of the year 1, in seconds since the Unix epoch."""
MAX_SECONDS: Final = 253_402_300_799
"""The end of the year 9999."""

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET: Final = re.compile(r"[\[\]{}]")

_ID: Final = re.compile(f"[{ID_CHARACTERS}]{{1,{MAX_ID_CHARACTERS}}}")
_ID_RULE: Final = (
    f"must be 1 to {MAX_ID_CHARACTERS} printable ASCII characters other than space, quotes and backslash"
)


def is_id(value: str) -> bool:
    """Return whether a text is a valid id: 1 to 256 characters of those allowed."""
    return _ID.fullmatch(value) is not None


class Checks:
    """A collection of violations. ``finish`` raises all of them together, and the tenth raises them at once.

    Args:
        prefix: The path in the request of the message whose fields are checked, with a dot at its end.
        must_name_user: Whether the request must name the user that its caller acts for.
    """

    __slots__ = ("_must_name_user", "_prefix", "_violations")

    def __init__(self, prefix: str = "", *, must_name_user: bool = False) -> None:
        self._prefix = prefix
        self._must_name_user = must_name_user
        self._violations: list[FieldViolation] = []

    def inside(self, prefix: str) -> Checks:
        """Return the checks of a message inside the request, with the same list of violations."""
        inner = Checks(self._prefix + prefix, must_name_user=self._must_name_user)
        inner._violations = self._violations
        return inner

    def finish(self) -> None:
        """Raise the violations that were collected.

        Raises:
            InvalidArgumentError: there were violations.
        """
        if self._violations:
            raise InvalidArgumentError(*self._violations)

    def require(self, holds: object, field: str, description: str) -> None:
        """Add a violation unless the rule holds."""
        if not holds:
            self._violations.append(FieldViolation(self._prefix + field, description))
            if len(self._violations) == MAX_VIOLATIONS:
                self.finish()

    def text(self, field: str, value: str, max_characters: int | None = None) -> None:
        """Check a text: Postgres can keep it, and it is not too long."""
        self.require("\0" not in value, field, "must not contain a NUL character (U+0000)")
        if max_characters is not None and len(value) > max_characters:
            self.require(None, field, f"must have at most {max_characters} characters")

    def identifier(self, field: str, value: str, *, required: bool = False) -> None:
        """Check an id: 1 to 256 characters of those allowed; empty only if it is not required."""
        if value:
            self.require(is_id(value), field, _ID_RULE)
        else:
            self.require(not required, field, "is required")

    def user_id(self, field: str, value: str) -> None:
        """Check the user that the caller acts for."""
        self.require(value or not self._must_name_user, field, "is required: each call must name its user")
        self.any_user_id(field, value)

    def any_user_id(self, field: str, value: str) -> None:
        """Check a user's id, or an empty one."""
        self.text(field, value, MAX_USER_ID_CHARACTERS)

    def application_id(self, field: str, value: str) -> None:
        """Check an application's id, or an empty one."""
        self.text(field, value, MAX_APPLICATION_ID_CHARACTERS)

    def length(self, field: str, value: Sized, maximum: int, *, minimum: int = 0) -> bool:
        """Check the number of elements; return whether it is allowed and each element can be checked."""
        fits = minimum <= len(value) <= maximum
        bounds = f"{minimum} to {maximum}" if minimum else f"at most {maximum}"
        self.require(fits, field, f"must have {bounds} elements")
        return fits

    def not_negative(self, field: str, value: int) -> None:
        """Check a count or a limit."""
        self.require(value >= 0, field, "must not be negative")

    def known(self, field: str, value: int, kind: EnumTypeWrapper, *, required: bool = False) -> None:
        """Check that an enum has the value; zero only if it is not required."""
        self.require(value in kind.DESCRIPTOR.values_by_number, field, "must be a known value")
        self.require(value or not required, field, "is required")

    def all_known(self, field: str, values: Sequence[int], kind: EnumTypeWrapper) -> None:
        """Check the values of an enum in a list: there are few of them, and none is zero."""
        if self.length(field, values, MAX_FILTER_VALUES):
            for index, value in enumerate(values):
                self.known(f"{field}[{index}]", value, kind, required=True)

    def json_object(self, field: str, value: str, max_bytes: int) -> None:
        """Check a JSON object as text, or an empty text."""
        if value:
            size = len(value.encode())
            self.require(size <= max_bytes, field, f"must have at most {max_bytes} bytes")
            if size <= max_bytes:
                self._json(field, value, "a JSON object", dict)

    def json_value(self, field: str, value: str) -> None:
        """Check any JSON value as text."""
        self._json(field, value, "a JSON value", object)

    def timestamp(self, field: str, value: Timestamp) -> None:
        """Check that google.protobuf.Timestamp allows a time."""
        self.require(
            MIN_SECONDS <= value.seconds <= MAX_SECONDS and 0 <= value.nanos <= 999_999_999,
            field,
            "must be a time from the year 1 to 9999, with 0 to 999,999,999 nanos",
        )

    def _json(self, field: str, value: str, what: str, kind: type) -> None:
        self.text(field, value)
        try:
            # Numbers stay text, because no code reads their values, and they may have any length.
            parsed = json.loads(value, parse_int=str, parse_float=str, parse_constant=_refuse)
            shallow = _is_shallow(value)
        except RecursionError:
            parsed, shallow = None, False
        except ValueError:
            self.require(None, field, f"must be {what}")
            return
        self.require(shallow, field, f"must be nested at most {MAX_JSON_DEPTH} levels deep")
        self.require(not shallow or isinstance(parsed, kind), field, f"must be {what}")


def _is_shallow(value: str) -> bool:
    """Return whether valid JSON is within the depth limit. The parser's limit depends on the interpreter."""
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", value)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_JSON_DEPTH:
            return False
    return True


def _refuse(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(constant)
