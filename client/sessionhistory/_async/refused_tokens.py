"""The client's methods for tokens that are refused before they expire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory._codec.fields import build
from sessionhistory._codec.refused_token import decode_refused_token, refused_token_page
from sessionhistory._codec.times import encode_time
from sessionhistory.v1 import credentials_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from sessionhistory._async.transport import AsyncTransport
    from sessionhistory.types import RefusedToken, RefusedTokenPage


class AsyncRefusedTokens:
    """The methods that refuse JSON Web Tokens of the caller's tenant, and list the refused ones."""

    _transport: AsyncTransport

    async def refuse_token(
        self, token_id: str, *, expire_time: datetime, timeout_seconds: float | None = None
    ) -> RefusedToken:
        """Refuse a token. Within a few seconds every server refuses it.

        Args:
            token_id: The id of the token, as the server's log shows it: its claim ``jti``, or a digest.
            expire_time: When the token expires, or later. From then on the refusal is not needed.
            timeout_seconds: How long the call may take, with all its retries.
        """
        request = build(
            pb.RefuseTokenRequest, token_id=token_id, expire_time=encode_time(expire_time, "expire_time")
        )
        response = await self._transport.call("RefuseToken", request, timeout_seconds=timeout_seconds)
        return decode_refused_token(response.refused_token)

    async def list_refused_tokens(
        self, *, page_size: int = 0, timeout_seconds: float | None = None
    ) -> AsyncIterator[RefusedToken]:
        """Yield refused tokens, the last refused first, and fetch them page by page.

        Args:
            page_size: How many tokens to fetch at once, 1 to 1,000; 0: 50.
            timeout_seconds: How long the call for each page may take, with all its retries.
        """
        token = ""
        while True:
            page = await self.list_refused_tokens_page(
                page_size=page_size, page_token=token, timeout_seconds=timeout_seconds
            )
            for refused in page.refused_tokens:
                yield refused
            token = page.next_page_token
            if not token:
                return

    async def list_refused_tokens_page(
        self, *, page_size: int = 0, page_token: str = "", timeout_seconds: float | None = None
    ) -> RefusedTokenPage:
        """Return a page of refused tokens. Its token leads to the next page."""
        request = build(pb.ListRefusedTokensRequest, page_size=page_size, page_token=page_token)
        response = await self._transport.call("ListRefusedTokens", request, timeout_seconds=timeout_seconds)
        return refused_token_page(response)
