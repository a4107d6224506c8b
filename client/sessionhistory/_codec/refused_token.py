"""Convert refused tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory import types
from sessionhistory._codec.times import decode_time

if TYPE_CHECKING:
    from sessionhistory.v1 import credentials_service_pb2 as pb


def decode_refused_token(token: pb.RefusedToken) -> types.RefusedToken:
    """Decode a refused token."""
    return types.RefusedToken(
        token_id=token.token_id,
        user_id=token.user_id or None,
        application_id=token.application_id or None,
        expire_time=decode_time(token.expire_time),
        refuse_time=decode_time(token.refuse_time),
    )


def refused_token_page(response: pb.ListRefusedTokensResponse) -> types.RefusedTokenPage:
    """Return a page of refused tokens, and the token of the next one."""
    return types.RefusedTokenPage(
        refused_tokens=tuple(map(decode_refused_token, response.refused_tokens)),
        next_page_token=response.next_page_token,
    )
