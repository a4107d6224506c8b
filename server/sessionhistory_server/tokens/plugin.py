"""What a token counter is, for those who bring their own."""

from __future__ import annotations

from typing import Final, Protocol

GROUP: Final = "sessionhistory.token_counters"
"""The group of entry points: a name, and where its ``TokenCounterFactory`` is."""


class TokenCounter(Protocol):
    """Counts the tokens of a text.

    It is asked for each text of a message by itself: the content, each text part, and each tool call's name
    and arguments. It may be asked by several threads at once. The same text has the same number every time: a
    counter that comes to count otherwise needs another name.
    """

    def __call__(self, text: str, /) -> int:
        """Return how many tokens a text has: 0 or more."""
        ...


class TokenCounterFactory(Protocol):
    """Makes a token counter, once for each process that is started, before it forks any workers.

    So it starts no thread and opens no connection.
    """

    def __call__(self, argument: str, /) -> TokenCounter:
        """Return the counter.

        Args:
            argument: What follows the colon in the counter's name, as in ``spm:/etc/tokenizer.model``; or
                nothing.

        Raises:
            TokenCounterError: there is none; the message says why.
        """
        ...


class TokenCounterError(Exception):
    """A token counter is not available. The message says why, and what to do: an operator reads it."""
