"""Read JSON values that are not one a line: the items of a list, or objects of several lines."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, Final

from sessionhistory_cli.client.importing.json_fields import BadFieldError
from sessionhistory_cli.client.importing.value_limit import MAX_VALUE_BYTES

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

_CHUNK_BYTES: Final = 1024 * 1024
_DECODER: Final = json.JSONDecoder()
_BETWEEN: Final = " \t\r\n,"


def document_values(start: bytes, stream: io.BufferedIOBase) -> Iterator[tuple[int, int, object]]:
    """Yield the values of a text, with the number of their list (0: none) and their size.

    Args:
        start: The beginning of the text.
        stream: The rest of it.

    Raises:
        BadFieldError: the text is damaged, or a value is too large; the values before it were yielded.
    """
    text = _Text(start, stream)
    lists = found = 0
    inside = False
    while mark := text.next_mark():
        if mark == ("]" if inside else "["):
            inside = not inside
            lists += inside
            text.skip()
            continue
        found += 1
        size, value = text.value(f"item {found:,}")
        yield (lists if inside else 0), size, value
    if inside:
        raise BadFieldError("it ends inside a list")


class _Text:
    """The text of a stream, of which only the part that is being parsed is in memory."""

    def __init__(self, start: bytes, stream: io.BufferedIOBase) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._stream = stream
        self._text = ""
        self._place = 0
        self._add(start)

    def next_mark(self) -> str:
        """Return the first character of the next value, or a bracket; empty at the end."""
        while True:
            while self._place < len(self._text):
                if self._text[self._place] not in _BETWEEN:
                    return self._text[self._place]
                self._place += 1
            if not self._read():
                return ""

    def skip(self) -> None:
        """Skip a character."""
        self._place += 1

    def value(self, name: str) -> tuple[int, object]:
        """Return the next value with its size in characters.

        Raises:
            BadFieldError: it is not JSON, or too large.
        """
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                if len(self._text) - self._place > MAX_VALUE_BYTES:
                    raise BadFieldError(f"{name}: too large, or not JSON: {error.msg}") from None
                if not self._read():
                    raise BadFieldError(f"{name}: not JSON: {error.msg}") from None
            except (RecursionError, ValueError):
                raise BadFieldError(f"{name}: nested too deep, or a number too long") from None
            else:
                size, self._place = end - self._place, end
                return size, value

    def _read(self) -> bool:
        """Read as much again, so that parsing again costs little; return whether there was more."""
        chunk = self._stream.read(max(_CHUNK_BYTES, len(self._text) - self._place))
        self._add(chunk)
        return bool(chunk)

    def _add(self, chunk: bytes) -> None:
        try:
            more = self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError:
            raise BadFieldError("not JSON: not in UTF-8") from None
        self._text = self._text[self._place :] + more
        self._place = 0
