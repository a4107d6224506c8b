"""The RPC that counts a session's tokens again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.model.caller import WRITE
from sessionhistory_server.observability import trail
from sessionhistory_server.rpc.convert.session import show_session
from sessionhistory_server.rpc.dispatch import rpc
from sessionhistory_server.rpc.validation import session as rules

if TYPE_CHECKING:
    from sessionhistory.v1 import session_history_service_pb2 as pb
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.usecases.tokens import TokenRecounts


class TokensServicer:
    """The servicer of token counts."""

    def __init__(self, recounts: TokenRecounts) -> None:
        self._recounts = recounts

    @rpc(WRITE, rules.check_named, act=lambda _: trail.RECOUNT)
    async def RecountTokens(
        self, caller: Caller, request: pb.RecountTokensRequest, response: pb.RecountTokensResponse
    ) -> None:
        """Count the tokens of a session's messages again."""
        recounted = await self._recounts.recount(caller, request.session_id)
        response.changed_message_count = recounted.changed_messages
        show_session(recounted.session, response.session)
