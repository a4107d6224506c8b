"""Read the fields of JSON objects in an unknown file. An error names the field that has a wrong type."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar

from sessionhistory_cli.client.importing.losses import NO_PLACE, Loss, Losses
from sessionhistory_cli.client.importing.message_size import text_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T", str, int, bool, list[object], dict[str, object])

_TYPES: Final = {str: "text", int: "an integer", bool: "true or false", list: "a list", dict: "an object"}
_INDEX: Final = re.compile(r"\[[0-9]+\]")
_WORD: Final = re.compile(r"_([a-z])")


class BadFieldError(ValueError):
    """A line is not a JSON object, or a field breaks a rule. The message quotes no value."""


class JsonFields:
    """The fields of a JSON object, named as in the contract or in camel case. ``null`` is the same as absent.

    Args:
        value: The object.
        path: The prefix of a field's name in an error.
        opened: The list of all objects of the line that were read; this one is added.
    """

    def __init__(self, value: object, path: str = "", opened: list[JsonFields] | None = None) -> None:
        if not isinstance(value, dict):
            raise BadFieldError(f"{path.rstrip('.') or 'the line'}: must be an object")
        self._all: dict[str, object] = value
        self._left = {name: inner for name, inner in value.items() if inner is not None}
        self._lost: list[tuple[str, str]] = []
        self._path = path
        self._opened = [] if opened is None else opened
        self._opened.append(self)

    def has(self, *names: str) -> bool:
        """Return whether the object has one of these fields; it may be ``null``."""
        return any(name in self._all for name in names)

    @property
    def original(self) -> dict[str, object]:
        """The object, with all its fields."""
        return self._all

    @property
    def opened(self) -> list[JsonFields]:
        """The list of all objects of the line that were read."""
        return self._opened

    def names(self) -> list[str]:
        """Return the names of the fields that were not read yet."""
        return list(self._left)

    def has_type(self, name: str, *kinds: type) -> bool:
        """Return whether a field has one of these types."""
        return isinstance(self._left.get(self._spelled(name)), kinds)

    def optional(self, name: str, kind: type[T]) -> T | None:
        """Return a field, ``None`` if it is absent.

        Raises:
            BadFieldError: the field is of another type, or text that cannot be stored.
        """
        name = self._spelled(name)
        value = self._left.pop(name, None)
        if value is None:
            return None
        # A bool is an int in Python, but not in JSON.
        if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
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

    def any(self, name: str) -> object:
        """Return a field of any type, ``None`` if it is absent."""
        return self._left.pop(self._spelled(name), None)

    def object(self, name: str) -> JsonFields | None:
        """Return an object, ``None`` if it is absent.

        Raises:
            BadFieldError: the field is of another type.
        """
        name = self._spelled(name)
        value = self.optional(name, dict)
        return None if value is None else JsonFields(value, f"{self._path}{name}.", self._opened)

    def required_object(self, name: str) -> JsonFields:
        """Return an object.

        Raises:
            BadFieldError: the field is absent or of another type.
        """
        name = self._spelled(name)
        return JsonFields(self.required(name, dict), f"{self._path}{name}.", self._opened)

    def objects(self, name: str) -> Iterator[JsonFields]:
        """Yield the objects of a list, none if it is absent.

        Raises:
            BadFieldError: the field is of another type.
        """
        name = self._spelled(name)
        for index, value in enumerate(self.optional(name, list) or ()):
            yield JsonFields(value, f"{self._path}{name}[{index}].", self._opened)

    def lose(self, reason: str, *names: str) -> None:
        """Count fields that are not stored for a reason. Absent fields, and empty ones, do not count."""
        for spelled in map(self._spelled, names):
            if self._left.pop(spelled, None):
                self._lost.append((spelled, reason))

    def drop(self, *names: str) -> None:
        """Leave out fields that say nothing that is not stored in another way."""
        for name in names:
            self._left.pop(name, None)

    def count(self, name: str, reason: str) -> None:
        """Count a field of which something is not stored."""
        self._lost.append((self._spelled(name), reason))

    def error(self, name: str, rule: str) -> BadFieldError:
        """Return the error for a field that breaks a rule."""
        return BadFieldError(f"{self._path}{name}: {rule}")

    def losses(self) -> Losses:
        """Count the fields that are not stored, in all objects of the line, by path without indices."""
        return Counter(loss for fields in self._opened for loss in fields._own_losses())  # noqa: SLF001 - of the same class

    def _own_losses(self) -> Iterator[Loss]:
        left = (name for name, value in self._left.items() if value not in ([], {}))
        for name, reason in (*((name, NO_PLACE) for name in left), *self._lost):
            yield Loss(_INDEX.sub("[]", self._path + name), reason)

    def _spelled(self, name: str) -> str:
        """Return a name as the object spells it: ``message_id`` or ``messageId``."""
        if name in self._all or "_" not in name:
            return name
        camel = _WORD.sub(lambda word: word[1].upper(), name)
        return camel if camel in self._all else name

    def _check_text(self, name: str, text: str) -> None:
        if problem := text_problem(text):
            raise self.error(name, problem)


def parse_json(line: bytes) -> object:
    """Parse a line that is a JSON value in UTF-8.

    Raises:
        BadFieldError: the line is not JSON in UTF-8.
    """
    try:
        value: object = json.loads(line.decode("utf-8-sig").rstrip())
    except UnicodeDecodeError:
        raise BadFieldError("not JSON: not in UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadFieldError(f"not JSON: {error.msg}, at column {error.colno}") from None
    except (RecursionError, ValueError):
        raise BadFieldError("not JSON that can be read: nested too deep, or a number too long") from None
    return value
