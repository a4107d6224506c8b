"""Count messages by the server's counter, or by the counter of a session."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.model.tokens import COUNTED_BY_CHARACTERS, COUNTER_VERSION, MIXED
from sessionhistory_server.tokens import characters
from sessionhistory_server.tokens.loading import load
from sessionhistory_server.tokens.plugin import TokenCounterError
from sessionhistory_server.tokens.texts import text_before_json, text_of, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sessionhistory_server.model.message import MessageContent

    MessageCounter = Callable[[MessageContent], int]

# If the estimate by characters is above this, the count happens in a thread. This many tokens take a
# millisecond.
_MAX_TOKENS_AT_ONCE: Final = 1_024

_log = logging.getLogger(__name__)


class TokenCounts(NamedTuple):
    """The token counts of messages, and the name of their counter; ``MIXED`` if it failed at some of them."""

    counts: list[int]
    counter: str


class TokenCounters:
    """The server's own counter, and the other counters of sessions that this server can load.

    ``name`` is the name of the server's own counter in the sessions that the server creates.

    Args:
        name: The name of the server's own counter in its settings.
        tiktoken_dir: The folder with the vocabularies of tiktoken.

    Raises:
        TokenCounterError: the server's own counter is not available.
    """

    def __init__(self, name: str, tiktoken_dir: Path | None = None) -> None:
        self.name = name + COUNTER_VERSION
        self._tiktoken_dir = tiktoken_dir
        self._known: dict[str, MessageCounter | None] = {self.name: _load(self.name, tiktoken_dir)}

    async def count(self, contents: Sequence[MessageContent], name: str) -> TokenCounts:
        """Count messages by the counter with this name, or by the server's own if it is not available.

        Counts from callers stay. If the counter fails at a message, the count is by its characters.
        """
        counter = await self._find(name)
        if counter is None:
            counts, _ = await self.count(contents, self.name)
            return TokenCounts(counts, MIXED)
        estimates = [characters.given_or_counted(content) for content in contents]
        if name == COUNTED_BY_CHARACTERS:
            return TokenCounts(estimates, name)
        work = contents, estimates, counter, name
        to_count = sum(e for c, e in zip(contents, estimates, strict=True) if c.token_count_given is None)
        if to_count <= _MAX_TOKENS_AT_ONCE:
            return _count(*work)
        return await asyncio.to_thread(_count, *work)

    async def _find(self, name: str) -> MessageCounter | None:
        if name not in self._known:
            self._known[name] = await asyncio.to_thread(self._load_if_available, name)
        return self._known[name]

    def _load_if_available(self, name: str) -> MessageCounter | None:
        try:
            return _load(name, self._tiktoken_dir)
        except TokenCounterError as error:
            _log.warning("sessions were counted by %s, which is not available: %s", name, error)
            return None


def _load(name: str, tiktoken_dir: Path | None) -> MessageCounter:
    """Return the counter with this name in sessions. The suffix of the name says which texts count."""
    setting = name.removesuffix(COUNTER_VERSION)
    count, of_part = load(setting, tiktoken_dir), text_before_json if setting == name else text_of
    return lambda content: count(texts(content, of_part))


def _count(
    contents: Sequence[MessageContent], estimates: Sequence[int], counter: MessageCounter, name: str
) -> TokenCounts:
    counts, counted_by = [], name
    for content, estimate in zip(contents, estimates, strict=True):
        count = estimate
        if content.token_count_given is None:
            try:
                count = counter(content)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - a panic in Rust is no Exception
                _log.warning("token counter failed", exc_info=error, extra={"counter": name})
                counted_by = MIXED
        counts.append(count)
    return TokenCounts(counts, counted_by)
