"""Prepare the standard streams: open closed ones, escape characters, and report failed writes."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from pathlib import Path
from typing import IO, Any, Final, NoReturn, TextIO

import click

_ESCAPE: Final = "backslashreplace"


class _OutputError(click.ClickException):
    """The output of a command cannot be written."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error, and discard buffered output, because Python would fail again to write it."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        super().show(file)


class _Stream(io.TextIOWrapper):
    """A stream that hides an ASCII encoding, because click considers ASCII a mistake and writes UTF-8."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        name = super().encoding
        return "ascii, escaped" if codecs.lookup(name).name == "ascii" else name


class _Output(_Stream):
    """Standard output. A failed write ends the command with an error of one line."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            _fail(error)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            _fail(error)


def _fail(error: OSError) -> NoReturn:
    if error.errno == errno.EPIPE:  # click does not report that the reader has closed the pipe
        raise error
    raise _OutputError(f"the output cannot be written: {error.strerror}") from error


def prepare_streams() -> None:
    r"""Escape characters that the output cannot encode, as ``\U0001f600``; read a closed input as empty."""
    if not sys.stdin:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - the stream stays open
    sys.stdout = _escaping(sys.stdout, _Output)
    sys.stderr = _escaping(sys.stderr, _Stream)


def _escaping(stream: TextIO, kind: type[_Stream]) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):  # closed, or replaced by a program that runs this one
        return stream
    encoding, line_buffering = stream.encoding, stream.line_buffering
    return kind(stream.detach(), encoding, _ESCAPE, line_buffering=line_buffering)
