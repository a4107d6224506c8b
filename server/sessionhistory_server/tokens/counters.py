"""Counting messages by the server's counter, or by the one that a session was begun with."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.model import CHARACTERS, MIXED
from sessionhistory_server.tokens import characters
from sessionhistory_server.tokens.loading import load
from sessionhistory_server.tokens.plugin import TokenCounterError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sessionhistory_server.model import MessageContent
    from sessionhistory_server.tokens.loading import MessageCounter

# More than this, by the estimate of characters, is counted in a thread: a millisecond or so.
_MAX_TOKENS_AT_ONCE: Final = 1_024

_log = logging.getLogger(__name__)


class Counted(NamedTuple):
    """How many tokens messages have, and what counted them: ``MIXED`` if it failed at some."""

    counts: list[int]
    counter: str


class TokenCounters:
    """The server's counter, and any other that can be had by its name.

    Args:
        name: Of the server's own.
        tiktoken_dir: Where the vocabularies of tiktoken are.

    Raises:
        TokenCounterError: the server's own is not available.
    """

    def __init__(self, name: str, tiktoken_dir: Path | None = None) -> None:
        self.name = name
        self._tiktoken_dir = tiktoken_dir
        self._known: dict[str, MessageCounter | None] = {name: load(name, tiktoken_dir)}

    async def count(self, contents: Sequence[MessageContent], name: str) -> Counted:
        """Count messages by a counter; by the server's own if that is not available.

        Token counts that callers gave stay. A message that the counter fails at is counted by its characters.
        """
        counter = await self._find(name)
        if counter is None:
            counts, _ = await self.count(contents, self.name)
            return Counted(counts, MIXED)
        estimates = [_given_or_estimated(content) for content in contents]
        if name == CHARACTERS:
            return Counted(estimates, name)
        work = contents, estimates, counter, name
        to_count = sum(e for c, e in zip(contents, estimates, strict=True) if c.token_count_given is None)
        if to_count <= _MAX_TOKENS_AT_ONCE:
            return _count(*work)
        return await asyncio.to_thread(_count, *work)

    async def _find(self, name: str) -> MessageCounter | None:
        if name not in self._known:
            self._known[name] = await asyncio.to_thread(self._load, name)
        return self._known[name]

    def _load(self, name: str) -> MessageCounter | None:
        try:
            return load(name, self._tiktoken_dir)
        except TokenCounterError as error:
            _log.warning("sessions were counted by %s, which is not available: %s", name, error)
            return None


def _given_or_estimated(content: MessageContent) -> int:
    given = content.token_count_given
    return characters.count(content) if given is None else given


def _count(
    contents: Sequence[MessageContent], estimates: Sequence[int], counter: MessageCounter, name: str
) -> Counted:
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
    return Counted(counts, counted_by)
