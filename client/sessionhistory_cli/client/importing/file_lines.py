"""Read a file of any size line by line, with a limit for the length of a line."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

# Far above the limits of the service. It bounds the memory of an import.
MAX_LINE_BYTES: Final = 32_000_000

_GZIP_MAGIC: Final = b"\x1f\x8b"
_CHUNK_BYTES: Final = 1024 * 1024


class FileLines:
    """The lines of a file, which may be compressed by gzip. They can be read once.

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

    def __iter__(self) -> Iterator[tuple[int, bytes | None]]:
        """Yield each line that is not blank with its number, from 1; ``None`` for one that is too long."""
        try:
            yield from self._lines()
        except (EOFError, OSError, zlib.error) as error:
            self.damage = str(error)

    def _lines(self) -> Iterator[tuple[int, bytes | None]]:
        stream = self._decompressed()
        for number in count(1):
            line = stream.readline(MAX_LINE_BYTES + 1)
            if not line:
                return
            if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                _skip_line(stream)
                yield number, None
            elif not line.isspace():
                yield number, line

    def _decompressed(self) -> io.BufferedIOBase:
        if self._file.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC):
            return gzip.GzipFile(fileobj=self._file)
        return self._file


def _skip_line(stream: io.BufferedIOBase) -> None:
    while (chunk := stream.readline(_CHUNK_BYTES)) and not chunk.endswith(b"\n"):
        pass
