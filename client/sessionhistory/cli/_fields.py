"""The fields of JSON objects from somebody else's file: of the right type, or refused by name."""

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
    """It is no JSON object of such fields. The message names field and rule, and quotes nothing."""


class Fields:
    """The fields of a JSON object. ``null`` is the same as absent.

    Args:
        value: The object.
        path: What stands before a field's name in an error.
        opened: Where this object is noted, and all that are inside it.
    """

    def __init__(self, value: object, path: str = "", opened: list[Fields] | None = None) -> None:
        if not isinstance(value, dict):
            raise BadFieldError(f"{path.rstrip('.') or 'the line'}: must be an object")
        self._left = {name: inner for name, inner in value.items() if inner is not None}
        self._path = path
        self._opened = [] if opened is None else opened
        self._opened.append(self)

    def holds(self, name: str, *kinds: type) -> bool:
        """Return whether a field is of one of these types."""
        return isinstance(self._left.get(name), kinds)

    def optional(self, name: str, kind: type[T]) -> T | None:
        """Return a field, ``None`` if it is absent.

        Raises:
            BadFieldError: it is of another type, or text that no service could store.
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
            BadFieldError: it is absent or of another type.
        """
        value = self.optional(name, kind)
        if value is None:
            raise self.error(name, "is missing")
        return value

    def object(self, name: str) -> Fields | None:
        """Return an object, ``None`` if it is absent.

        Raises:
            BadFieldError: it is something else.
        """
        value = self.optional(name, dict)
        return None if value is None else Fields(value, f"{self._path}{name}.", self._opened)

    def required_object(self, name: str) -> Fields:
        """Return an object.

        Raises:
            BadFieldError: it is absent or something else.
        """
        return Fields(self.required(name, dict), f"{self._path}{name}.", self._opened)

    def objects(self, name: str) -> Iterator[Fields]:
        """Yield the objects of a list, none if it is absent.

        Raises:
            BadFieldError: it is something else.
        """
        for index, value in enumerate(self.optional(name, list) or ()):
            yield Fields(value, f"{self._path}{name}[{index}].", self._opened)

    def error(self, name: str, rule: str) -> BadFieldError:
        """Return the error of a field."""
        return BadFieldError(f"{self._path}{name}: {rule}")

    def _check_text(self, name: str, text: str) -> None:
        if "\0" in text:
            raise self.error(name, "must not contain a NUL character (U+0000)")
        if _SURROGATE.search(text):
            raise self.error(name, "must be valid Unicode")

    def unknown(self) -> Counter[str]:
        """Return what nobody asked for, here and in the objects that were opened, by path without indices."""
        paths = (fields._path + name for fields in self._opened for name in fields._left)  # noqa: SLF001 - our own
        return Counter(_INDEX.sub("[]", path) for path in paths)


def parse_fields(line: bytes) -> Fields:
    """Return the fields of a line that is a JSON object, in UTF-8.

    Raises:
        BadFieldError: it is not.
    """
    try:
        value = json.loads(line.decode("utf-8-sig").rstrip())
    except UnicodeDecodeError:
        raise BadFieldError("not JSON: not in UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadFieldError(f"not JSON: {error.msg}, at column {error.colno}") from None
    except (RecursionError, ValueError):
        raise BadFieldError("not JSON that can be read: nested too deep, or a number too long") from None
    return Fields(value)
