"""The interface of token counters, for the authors of plug-ins."""

from __future__ import annotations

from typing import Final, Protocol

GROUP: Final = "sessionhistory.token_counters"
"""The group of entry points. Each names a counter and its ``TokenCounterFactory``."""


class TokenCounter(Protocol):
    """A counter of the tokens of a text.

    The server calls it once for each text of a message: the content, each text part, each JSON part, the
    ``text`` of each reasoning part, and the name and the arguments of each tool call. Several threads may
    call it concurrently. It must return the same number for the same text every time. If a new version counts
    in another way, give it another name.
    """

    def __call__(self, text: str, /) -> int:
        """Return the number of tokens of a text: 0 or more."""
        ...


class TokenCounterFactory(Protocol):
    """A function that creates a token counter.

    A server calls it once, before it forks its workers. So it must not start threads or open connections.
    """

    def __call__(self, argument: str, /) -> TokenCounter:
        """Return the counter.

        Args:
            argument: The text after the colon in the counter's name, as in ``spm:/etc/tokenizer.model``;
                empty if the name has no colon.

        Raises:
            TokenCounterError: the counter cannot be created; the message gives the reason.
        """
        ...


class TokenCounterError(Exception):
    """A token counter is not available. The message gives the reason and the remedy for operators."""
