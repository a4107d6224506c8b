"""The title of a session whose caller set none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import regex

from sessionhistory_server.model.message import USER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sessionhistory_server.model.message import MessageContent

MAX_CHARACTERS: Final = 80

_GRAPHEME: Final = regex.compile(r"\X")


def first_user_text(messages: Iterable[MessageContent]) -> str | None:
    """Return the first text of a user, from the content or a text part, cut at 80 code points.

    The cut splits no grapheme, unless the first one is longer than 80 code points. If there is no text, the
    result is ``None``.
    """
    return next(
        (_cut(text) for message in messages if message.role == USER for text in _texts(message)), None
    )


def _texts(message: MessageContent) -> Iterator[str]:
    """Yield the texts that contain more than white space."""
    texts = (message.content, *(part.text for part in message.parts))
    yield from (text for text in texts if text and not text.isspace())


def _cut(text: str) -> str:
    head = text[: MAX_CHARACTERS + 1]
    if len(head) <= MAX_CHARACTERS or (head.isascii() and head[-1] != "\n"):
        return head[:MAX_CHARACTERS]
    *_, last = _GRAPHEME.finditer(head)
    return head[: last.start() or MAX_CHARACTERS]
