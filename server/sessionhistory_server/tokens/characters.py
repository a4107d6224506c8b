"""Count the tokens of a message by its characters: the default counter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory_server.tokens.texts import texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessionhistory_server.model.message import MessageContent

CHARACTERS_PER_TOKEN: Final = 4


def count(content: MessageContent) -> int:
    """Return an estimate of the tokens of a message."""
    return count_texts(texts(content))


def given_or_counted(content: MessageContent) -> int:
    """Return the caller's token count, or else an estimate by characters."""
    given = content.token_count_given
    return count(content) if given is None else given


def count_texts(counted: Iterable[str]) -> int:
    """Return the number of Unicode code points in all texts together, divided by 4 and rounded up."""
    return -(-sum(map(len, counted)) // CHARACTERS_PER_TOKEN)
