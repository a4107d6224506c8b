"""The RPC that counts a session's messages again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.rpc import convert
from sessionhistory_server.rpc.base import Servicer

if TYPE_CHECKING:
    from sessionhistory_server.recount import Recounts


class RecountServicer(Servicer):
    """Token counts that are made anew."""

    def __init__(self, recounts: Recounts, *, require_user_id: bool) -> None:
        super().__init__(require_user_id=require_user_id)
        self._recounts = recounts

    async def RecountTokens(self, request: pb.RecountTokensRequest) -> pb.RecountTokensResponse:
        """Count the messages of a session again."""
        self.checked(request).finish()
        recounted = await self._recounts.session(request.session_id, request.user_id or None)
        return pb.RecountTokensResponse(
            session=convert.session_message(recounted.session),
            changed_message_count=recounted.changed_messages,
        )
