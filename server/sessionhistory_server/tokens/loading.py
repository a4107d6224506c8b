"""Load token counters by name."""

from __future__ import annotations

import functools
import operator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sessionhistory_server.limits import MAX_INT32
from sessionhistory_server.model.tokens import CHARACTERS
from sessionhistory_server.tokens import characters
from sessionhistory_server.tokens.plugin import GROUP, TokenCounterError
from sessionhistory_server.tokens.tiktoken_counter import tiktoken_counter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from sessionhistory_server.tokens.plugin import TokenCounter

    TextsCounter = Callable[[Iterable[str]], int]

TIKTOKEN: Final = "tiktoken"

_MAX_NAME_CHARACTERS: Final = 250
_SAMPLE: Final = "Hello, wörld!"


@functools.cache
def load(name: str, tiktoken_dir: Path | None) -> TextsCounter:
    """Load a counter of texts, and count a sample with it. The process keeps the counter.

    Args:
        name: ``characters``, ``tiktoken:ENCODING``, or a plug-in's name with an argument or without.
        tiktoken_dir: The folder with the vocabularies of tiktoken.

    Raises:
        TokenCounterError: there is no counter with this name, or it does not work.
    """
    if name == CHARACTERS:
        return characters.count_texts
    if len(name) > _MAX_NAME_CHARACTERS:
        raise TokenCounterError(f"the name has more than {_MAX_NAME_CHARACTERS} characters")
    kind, _, argument = name.partition(":")
    plug_in = None if kind == TIKTOKEN else _entry_point(kind)
    with _reporting_failures_of(plug_in.value if plug_in else kind):
        counter: TokenCounter = (
            plug_in.load()(argument) if plug_in else tiktoken_counter(argument, tiktoken_dir)
        )
        _checked(counter(_SAMPLE))
    return functools.partial(_count, counter)


def _entry_point(kind: str) -> EntryPoint:
    from importlib.metadata import entry_points  # noqa: PLC0415 - takes long to import

    found = entry_points(group=GROUP, name=kind)
    if len(found) > 1:
        raise TokenCounterError(f"several packages have a counter called {kind!r}")
    for entry_point in found:
        return entry_point
    others = sorted(entry_points(group=GROUP).names)
    known = ", ".join((CHARACTERS, f"{TIKTOKEN}:ENCODING", *others))
    raise TokenCounterError(f"no counter is called {kind!r}, only {known}")


@contextmanager
def _reporting_failures_of(counter: str) -> Iterator[None]:
    """Turn every error of foreign code into a ``TokenCounterError``.

    Args:
        counter: The name that the error gives to that code.

    Raises:
        TokenCounterError: the foreign code raised it, or failed with another error.
    """
    try:
        yield
    except (TokenCounterError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        raise TokenCounterError(f"{counter} failed: {type(error).__name__}: {error}") from error


def _count(counter: TokenCounter, texts: Iterable[str]) -> int:
    return _checked(sum(_checked(counter(text)) for text in texts))


def _checked(count: int) -> int:
    """Return a number of tokens that a plug-in gave, if the database can store it.

    Raises:
        TypeError: the number is no integer.
        ValueError: the number is out of range.
    """
    number = operator.index(count)
    if not 0 <= number <= MAX_INT32:
        raise ValueError("a number of tokens is 0 to 2,147,483,647")
    return number
