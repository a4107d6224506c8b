"""Read the fields of JSON objects in an unknown file. An error names the field that has a wrong type."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T", str, int, list[object], dict[str, object])

_TYPES: Final = {str: "text", int: "an integer", list: "a list", dict: "an object"}
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_INDEX: Final = re.compile(r"\[[0-9]+\]")


class BadFieldError(ValueError):
    """A line is not a JSON object, or a field breaks a rule. The message quotes no value."""


class JsonFields:
    """The fields of a JSON object. ``null`` is the same as absent.

    Args:
        value: The object.
        path: The prefix of a field's name in an error.
        opened: The list of all objects of the line that were read; this one is added.
    """

    def __init__(self, value: object, path: str = "", opened: list[JsonFields] | None = None) -> None:
        if not isinstance(value, dict):
            raise BadFieldError(f"{path.rstrip('.') or 'the line'}: must be an object")
        self._left = {name: inner for name, inner in value.items() if inner is not None}
        self._path = path
        self._opened = [] if opened is None else opened
        self._opened.append(self)

    def has_type(self, name: str, *kinds: type) -> bool:
        """Return whether a field has one of these types."""
        return isinstance(self._left.get(name), kinds)

    def optional(self, name: str, kind: type[T]) -> T | None:
        """Return a field, ``None`` if it is absent.

        Raises:
            BadFieldError: the field is of another type, or text that cannot be stored.
        """
        value = self._left.pop(name, None)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise self.error(name, f"must be {_TYPES[kind]}")
        if isinstance(value, str):
            self._check_text(name, value)
        return value

    def required(self, name: str, kind: type[T]) -> T:
        """Return a field.

        Raises:
            BadFieldError: the field is absent or of another type.
        """
        value = self.optional(name, kind)
        if value is None:
            raise self.error(name, "is missing")
        return value

    def object(self, name: str) -> JsonFields | None:
        """Return an object, ``None`` if it is absent.

        Raises:
            BadFieldError: the field is of another type.
        """
        value = self.optional(name, dict)
        return None if value is None else JsonFields(value, f"{self._path}{name}.", self._opened)

    def required_object(self, name: str) -> JsonFields:
        """Return an object.

        Raises:
            BadFieldError: the field is absent or of another type.
        """
        return JsonFields(self.required(name, dict), f"{self._path}{name}.", self._opened)

    def objects(self, name: str) -> Iterator[JsonFields]:
        """Yield the objects of a list, none if it is absent.

        Raises:
            BadFieldError: the field is of another type.
        """
        for index, value in enumerate(self.optional(name, list) or ()):
            yield JsonFields(value, f"{self._path}{name}[{index}].", self._opened)

    def error(self, name: str, rule: str) -> BadFieldError:
        """Return the error for a field that breaks a rule."""
        return BadFieldError(f"{self._path}{name}: {rule}")

    def _check_text(self, name: str, text: str) -> None:
        if "\0" in text:
            raise self.error(name, "must not contain a NUL character (U+0000)")
        if _SURROGATE.search(text):
            raise self.error(name, "must be valid Unicode")

    def unknown(self) -> Counter[str]:
        """Count the fields that were never read, in all objects of the line, by path without indices."""
        paths = (fields._path + name for fields in self._opened for name in fields._left)  # noqa: SLF001 - of the same class
        return Counter(_INDEX.sub("[]", path) for path in paths)


def parse_fields(line: bytes) -> JsonFields:
    """Parse a line that is a JSON object in UTF-8.

    Raises:
        BadFieldError: the line is not a JSON object in UTF-8.
    """
    try:
        value = json.loads(line.decode("utf-8-sig").rstrip())
    except UnicodeDecodeError:
        raise BadFieldError("not JSON: not in UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadFieldError(f"not JSON: {error.msg}, at column {error.colno}") from None
    except (RecursionError, ValueError):
        raise BadFieldError("not JSON that can be read: nested too deep, or a number too long") from None
    return JsonFields(value)
