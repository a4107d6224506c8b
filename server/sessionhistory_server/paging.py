"""Page tokens: where a page ended, tied to the arguments it was asked for with."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from typing import TYPE_CHECKING, Any, Final

from sessionhistory_server.errors import FieldViolation, InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIGEST_BYTES: Final = 12


def encode(arguments: object, layout: str, position: Sequence[Any]) -> str:
    """Return a token for a position.

    Args:
        arguments: all that the next request must repeat; compared by its repr.
        layout: the position's struct layout.
        position: where the page ended.
    """
    place = struct.pack(layout, *position)
    return base64.urlsafe_b64encode(_digest((arguments, place)) + place).decode()


def decode(arguments: object, layout: str, token: str) -> tuple[Any, ...] | None:
    """Return the position of a token, ``None`` for an empty one.

    Raises:
        InvalidArgumentError: it is no token, or one for other arguments.
    """
    if not token:
        return None
    try:
        data = base64.urlsafe_b64decode(token.encode("ascii"))
        position = struct.unpack(layout, data[_DIGEST_BYTES:])
        # Made again and not just looked into: base64 has many spellings, and a position has no wrong ones.
        if token == encode(arguments, layout, position):
            return position
    except (UnicodeEncodeError, binascii.Error, struct.error):
        pass
    raise InvalidArgumentError(
        FieldViolation(
            "page_token",
            "must be the next_page_token of the previous page, with all fields but page_size as"
            " they were then",
        ),
        reason="INVALID_PAGE_TOKEN",
    )


def _digest(arguments: object) -> bytes:
    return hashlib.sha256(repr(arguments).encode()).digest()[:_DIGEST_BYTES]
