"""The RPC that compacts a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.compaction import CompactRequest
from sessionhistory_server.rpc import convert, messages, validate
from sessionhistory_server.rpc.base import Servicer

if TYPE_CHECKING:
    from sessionhistory_server.compaction import Compactor
    from sessionhistory_server.rpc.checks import Checks


class CompactionServicer(Servicer):
    """Summaries."""

    def __init__(self, compactor: Compactor, *, require_user_id: bool) -> None:
        super().__init__(require_user_id=require_user_id)
        self._compactor = compactor

    async def CompactHistory(self, request: pb.CompactHistoryRequest) -> pb.CompactHistoryResponse:
        """Store a summary."""
        message = request.message
        message.role = message.role or mpb.ROLE_SYSTEM
        checks = self.checked(request)
        checks.require(request.through_sequence > 0, "through_sequence", "must be 1 or more")
        _check_summary(checks, message)
        checks.not_negative("expected_last_sequence", request.expected_last_sequence)
        checks.not_negative(
            "expected_compacted_through_sequence", request.expected_compacted_through_sequence
        )
        checks.finish()
        summary = await self._compactor.compact(
            CompactRequest(
                session_id=request.session_id,
                user_id=request.user_id or None,
                through_sequence=request.through_sequence,
                message=messages.new_message(message),
                expected_last_sequence=convert.optional(request, "expected_last_sequence"),
                expected_compacted_through_sequence=convert.optional(
                    request, "expected_compacted_through_sequence"
                ),
            )
        )
        return pb.CompactHistoryResponse(
            summary=messages.summary(summary), message=messages.message(summary.message)
        )


def _check_summary(checks: Checks, message: mpb.Message) -> None:
    said = message.content or message.parts or message.payload
    checks.require(said, "message", "must have content, parts or payload")
    validate.check_message(checks, "message", message)
    checks.require(message.role != mpb.ROLE_TOOL, "message.role", "must not be TOOL")
    checks.require(not message.tool_calls, "message.tool_calls", "must be empty")
    checks.require(not message.pinned, "message.pinned", "must be false: a summary is in every window")
