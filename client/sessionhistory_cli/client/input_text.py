"""Read text in UTF-8 from a file, a pipe or a terminal."""

from __future__ import annotations

import codecs
from typing import IO, TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedIOBase

_CHUNK_BYTES: Final = 16_384


class InputError(ValueError):
    """The input cannot be stored. The message gives the reason, and quotes no input."""


def explain_end_of_input(source: IO[Any]) -> None:
    """Print how the user ends a text that is typed on a terminal."""
    if source.isatty():
        click.echo("reading from the terminal; Ctrl-D on an empty line ends the text", err=True)


def read_text(source: BufferedIOBase) -> Iterator[str]:
    """Yield text as it arrives, up to the first character that cannot be stored.

    Raises:
        InputError: the input is not UTF-8, or has a NUL character, which Postgres cannot store.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    while data := source.read1(_CHUNK_BYTES):
        before_nul, nul, _ = data.partition(b"\0")
        yield from _decoded(decoder, before_nul, final=bool(nul))
        if nul:
            raise InputError("the input has a NUL character (U+0000), which no message may have")
    yield from _decoded(decoder, b"", final=True)


def _decoded(decoder: codecs.IncrementalDecoder, data: bytes, *, final: bool) -> Iterator[str]:
    try:
        yield decoder.decode(data, final)
    except UnicodeDecodeError as error:
        yield error.object[: error.start].decode()
        raise InputError("the input is no UTF-8 text") from error
