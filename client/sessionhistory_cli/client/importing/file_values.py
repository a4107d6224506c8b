"""Read the JSON values of a file of any size, one by one, with a limit for the size of a value."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_cli.client.importing.document_values import document_values
from sessionhistory_cli.client.importing.json_fields import BadFieldError, parse_json
from sessionhistory_cli.client.importing.value_limit import MAX_VALUE_BYTES

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

_GZIP_MAGIC: Final = b"\x1f\x8b"
_CHUNK_BYTES: Final = 1024 * 1024
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Place(NamedTuple):
    """The place of a value in its file."""

    number: int
    thing: str = "line"
    """What ``number`` counts: "line", or "item" in a file that is one list or one document."""


@dataclass(frozen=True, slots=True)
class Value:
    """A JSON value of a file, or the reason why there is none in its place."""

    place: Place
    size_bytes: int
    value: object
    problem: str = ""
    list_number: int = 0
    """The list that the value is an item of; 0: none."""


class FileValues:
    """The values of a file: JSON Lines, or a list or values of several lines. They can be read once.

    The file may be compressed by gzip. The items of a list count as values.

    Args:
        file: The file. Its name has no meaning.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        status = os.fstat(file.fileno())
        self.total_bytes: Final = status.st_size if stat.S_ISREG(status.st_mode) else None
        """The size of the file before it is decompressed; ``None`` for a pipe, whose size is not known."""
        self.damage = ""
        """The reason why the file could not be read to its end; empty if it could."""

    @property
    def read_bytes(self) -> int:
        """The bytes of the file that have been read; 0 if its size is not known."""
        return 0 if self.total_bytes is None else self._file.tell()

    def __iter__(self) -> Iterator[Value]:
        """Yield each value."""
        try:
            yield from self._values()
        except (EOFError, OSError, zlib.error, BadFieldError) as error:
            self.damage = str(error)

    def _values(self) -> Iterator[Value]:
        stream = self._decompressed()
        is_first = True
        for number in count(1):
            line = stream.readline(MAX_VALUE_BYTES + 1)
            if is_first and _is_part_of_a_document(line):
                yield from _of_document(line, stream)
                return
            if not line:
                return
            if len(line) > MAX_VALUE_BYTES and not line.endswith(b"\n"):
                _skip_line(stream)
                problem = f"too large: a line has at most {MAX_VALUE_BYTES:,} bytes"
                yield Value(Place(number), 0, None, problem)
            elif line.removeprefix(_BYTE_ORDER_MARK).strip():
                yield from _of_line(number, line)
            else:
                continue
            is_first = False

    def _decompressed(self) -> io.BufferedIOBase:
        if self._file.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC):
            return gzip.GzipFile(fileobj=self._file)
        return self._file


def _is_part_of_a_document(line: bytes) -> bool:
    """Return whether the first line with text of a file ends inside a list or an object."""
    text = line.removeprefix(_BYTE_ORDER_MARK).strip()
    if len(line) > MAX_VALUE_BYTES:
        return text.startswith(b"[")
    ends_inside = text.endswith((b"{", b"[", b","))
    return (text.startswith(b"[") and not text.endswith(b"]")) or (text.startswith(b"{") and ends_inside)


def _of_document(start: bytes, stream: io.BufferedIOBase) -> Iterator[Value]:
    for number, (list_number, size, value) in enumerate(document_values(start, stream), start=1):
        found = Value(Place(number, "item"), size, value, list_number=list_number)
        yield from _items(found) if isinstance(value, list) else (found,)


def _of_line(number: int, line: bytes) -> Iterator[Value]:
    try:
        found = Value(Place(number), len(line), parse_json(line))
    except BadFieldError as error:
        found = Value(Place(number), 0, None, str(error))
    yield from _lists(found) if isinstance(found.value, list) else (found,)


def _lists(found: Value) -> Iterator[Value]:
    """Yield the items of the list of a line. Lists in it are conversations, as in a document."""
    if not any(isinstance(value, list) for value in _list(found)):
        yield from _items(found)
        return
    size = found.size_bytes // len(_list(found))
    for number, value in enumerate(_list(found), start=1):
        item = Value(Place(number, "item"), size, value, list_number=-found.place.number)
        yield from _items(item) if isinstance(value, list) else (item,)


def _items(found: Value) -> Iterator[Value]:
    """Yield the items of a list, which may be messages of one conversation, or conversations."""
    values = _list(found)
    for value in values:
        size = found.size_bytes // len(values)
        yield Value(found.place, size, value, list_number=-found.place.number)


def _list(found: Value) -> list[object]:
    return found.value if isinstance(found.value, list) else []


def _skip_line(stream: io.BufferedIOBase) -> None:
    while (chunk := stream.readline(_CHUNK_BYTES)) and not chunk.endswith(b"\n"):
        pass
