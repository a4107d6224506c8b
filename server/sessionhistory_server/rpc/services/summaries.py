"""The RPC that compacts a session: it stores a summary of the older messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.model.caller import WRITE
from sessionhistory_server.model.summary import Compact
from sessionhistory_server.rpc.convert import message, window
from sessionhistory_server.rpc.convert.fields import optional
from sessionhistory_server.rpc.dispatch import rpc
from sessionhistory_server.rpc.validation import window as rules

if TYPE_CHECKING:
    from sessionhistory.v1 import session_history_service_pb2 as pb
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.usecases.summaries import Summaries


class SummariesServicer:
    """The servicer of summaries."""

    def __init__(self, summaries: Summaries) -> None:
        self._summaries = summaries

    @rpc(WRITE, rules.check_compact)
    async def CompactHistory(
        self, caller: Caller, request: pb.CompactHistoryRequest, response: pb.CompactHistoryResponse
    ) -> None:
        """Store a summary."""
        asked = Compact(
            session_id=request.session_id,
            through_sequence=request.through_sequence,
            message=message.sent_message(request.message),
            expected_last_sequence=optional(request, "expected_last_sequence"),
            expected_compacted_through_sequence=optional(request, "expected_compacted_through_sequence"),
        )
        summary = await self._summaries.compact(caller, asked)
        window.show_summary(summary, response.summary)
        message.show_message(summary.message, response.message)
