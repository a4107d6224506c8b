"""Pages of lists, and their tokens.

A page token holds the position at which a page ended, and a signature of the position, of the caller and of
the arguments of the list: the same caller must repeat them in the next request.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sessionhistory_server.errors import FieldViolation, InvalidArgumentError
from sessionhistory_server.limits import MAX_RESPONSE_BYTES
from sessionhistory_server.usecases.signing import SIGNATURE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.model.filters import MessageFilter, SessionFilter
    from sessionhistory_server.store.postgres.database import Database, Work
    from sessionhistory_server.usecases.signing import Signing

T = TypeVar("T")

MAX_ROWS_BYTES: Final = MAX_RESPONSE_BYTES - 2_048
"""The maximum bytes of sessions or messages in a response, which also has other fields."""

# A token is the number of the key, the signature and the position.
_NUMBER: Final = "!I"
_HEAD_BYTES: Final = struct.calcsize(_NUMBER) + SIGNATURE_BYTES


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


class PageTokens:
    """The page tokens of a worker, which the servers of one database sign with the same keys.

    Args:
        signing: Signs the tokens.
    """

    def __init__(self, signing: Signing) -> None:
        self._signing = signing

    async def encode(self, caller: Caller, arguments: object, layout: str, position: Sequence[Any]) -> str:
        """Return the page token of a position.

        Args:
            caller: The caller of the list. Only a caller with the same tenant, user and application can use
                the token.
            arguments: The arguments that the next request must repeat. They are compared by their repr.
            layout: The struct layout of the position.
            position: The position at which the page ended.
        """
        number = await self._signing.newest()
        return self._token(number, caller, arguments, struct.pack(layout, *position))

    async def decode(
        self, caller: Caller, arguments: object, layout: str, token: str
    ) -> tuple[Any, ...] | None:
        """Return the position of a page token; ``None`` for an empty token.

        Raises:
            InvalidArgumentError: the text is no page token, or a token for another caller or other arguments.
        """
        if not token:
            return None
        try:
            data = base64.urlsafe_b64decode(token.encode("ascii"))
            (number,) = struct.unpack_from(_NUMBER, data)
            packed = data[_HEAD_BYTES:]
            position = struct.unpack(layout, packed)
        except (UnicodeEncodeError, binascii.Error, struct.error):
            raise _invalid_token() from None
        # The whole text is compared: base64 can spell the same bytes in several ways.
        if not await self._signing.knows(number) or not hmac.compare_digest(
            token, self._token(number, caller, arguments, packed)
        ):
            raise _invalid_token()
        return position

    def _token(self, number: int, caller: Caller, arguments: object, packed: bytes) -> str:
        holder = (caller.tenant_id, caller.user_id, caller.application_id)
        signature = self._signing.sign(number, repr((holder, arguments, packed)).encode())
        return base64.urlsafe_b64encode(struct.pack(_NUMBER, number) + signature + packed).decode()


def _invalid_token() -> InvalidArgumentError:
    return InvalidArgumentError(
        FieldViolation(
            "page_token",
            "must be the next_page_token of the previous page, with all fields but page_size as"
            " they were then",
        ),
        reason="INVALID_PAGE_TOKEN",
    )
