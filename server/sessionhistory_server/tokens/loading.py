"""Token counters by their names."""

from __future__ import annotations

import functools
import operator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sessionhistory_server.limits import MAX_INT32
from sessionhistory_server.model import CHARACTERS
from sessionhistory_server.tokens import characters
from sessionhistory_server.tokens.bpe import tiktoken_counter
from sessionhistory_server.tokens.plugin import GROUP, TokenCounterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from sessionhistory_server.model import MessageContent
    from sessionhistory_server.tokens.plugin import TokenCounter

    MessageCounter = Callable[[MessageContent], int]

TIKTOKEN: Final = "tiktoken"

_MAX_NAME_CHARACTERS: Final = 256
_SAMPLE: Final = "Hello, wörld!"


@functools.cache
def load(name: str, tiktoken_dir: Path | None) -> MessageCounter:
    """Return a counter of messages by its name, tried once; it stays.

    Args:
        name: ``characters``, ``tiktoken:ENCODING``, or a plug-in's name with an argument or without.
        tiktoken_dir: Where the vocabularies of tiktoken are.

    Raises:
        TokenCounterError: there is none of this name, or it does not work.
    """
    if name == CHARACTERS:
        return characters.count
    if len(name) > _MAX_NAME_CHARACTERS:
        raise TokenCounterError(f"the name has more than {_MAX_NAME_CHARACTERS} characters")
    kind, _, argument = name.partition(":")
    plug_in = None if kind == TIKTOKEN else _entry_point(kind)
    with _said_of(plug_in.value if plug_in else kind):
        counter: TokenCounter = (
            plug_in.load()(argument) if plug_in else tiktoken_counter(argument, tiktoken_dir)
        )
        _checked(counter(_SAMPLE))
    return functools.partial(_count, counter)


def _entry_point(kind: str) -> EntryPoint:
    from importlib.metadata import entry_points  # noqa: PLC0415 - takes long to import

    found = entry_points(group=GROUP, name=kind)
    if len(found) > 1:
        raise TokenCounterError(f"several packages bring one called {kind!r}")
    for entry_point in found:
        return entry_point
    others = sorted(entry_points(group=GROUP).names)
    known = ", ".join((CHARACTERS, f"{TIKTOKEN}:ENCODING", *others))
    raise TokenCounterError(f"no counter is called {kind!r}, only {known}")


@contextmanager
def _said_of(what: str) -> Iterator[None]:
    """Say of what is somebody else's that it failed, in whatever way.

    Raises:
        TokenCounterError: its own, or one that names it and its error.
    """
    try:
        yield
    except (TokenCounterError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        raise TokenCounterError(f"{what} failed: {type(error).__name__}: {error}") from error


def _count(counter: TokenCounter, content: MessageContent) -> int:
    return _checked(sum(_checked(counter(text)) for text in _texts(content)))


def _texts(content: MessageContent) -> Iterator[str]:
    if content.content:
        yield content.content
    yield from (part.text for part in content.parts or () if part.text)
    for call in content.tool_calls or ():
        yield call.name
        if call.arguments:
            yield call.arguments


def _checked(count: int) -> int:
    """Return a number of tokens as the database can keep it.

    Raises:
        TypeError: it is no integer.
        ValueError: it is out of range.
    """
    number = operator.index(count)
    if not 0 <= number <= MAX_INT32:
        raise ValueError("a number of tokens is 0 to 2,147,483,647")
    return number
