"""Pages of lists, and their tokens.

A page token holds the position at which a page ended, and a digest of the arguments of the list: the next
request must repeat them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sessionhistory_server.errors import FieldViolation, InvalidArgumentError
from sessionhistory_server.limits import MAX_RESPONSE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionhistory_server.model.filters import MessageFilter, SessionFilter
    from sessionhistory_server.store.postgres.database import Database, Work

T = TypeVar("T")

MAX_ROWS_BYTES: Final = MAX_RESPONSE_BYTES - 2_048
"""The maximum bytes of sessions or messages in a response, which also has other fields."""

_DIGEST_BYTES: Final = 12


async def read(database: Database, find: Work[T], wanted: SessionFilter | MessageFilter, *, advice: str) -> T:
    """Read a page of a list.

    Args:
        database: The database.
        find: Reads the page.
        wanted: The filter of the list. If it may pass over many rows, the read is a long read.
        advice: The advice in the error for a read that takes too long: how to narrow the list.
    """
    if wanted.may_pass_over:
        return await database.read_long(find, advice=advice)
    return await database.read(find)


def encode(arguments: object, layout: str, position: Sequence[Any]) -> str:
    """Return the page token of a position.

    Args:
        arguments: The arguments that the next request must repeat. They are compared by their repr.
        layout: The struct layout of the position.
        position: The position at which the page ended.
    """
    packed = struct.pack(layout, *position)
    return base64.urlsafe_b64encode(_digest((arguments, packed)) + packed).decode()


def decode(arguments: object, layout: str, token: str) -> tuple[Any, ...] | None:
    """Return the position of a page token; ``None`` for an empty token.

    Raises:
        InvalidArgumentError: the text is no page token, or a token for other arguments.
    """
    if not token:
        return None
    try:
        data = base64.urlsafe_b64decode(token.encode("ascii"))
        position = struct.unpack(layout, data[_DIGEST_BYTES:])
        # A token is valid if its position encodes to the same token. base64 can spell the same bytes in
        # several ways, which the digest alone would not distinguish.
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
