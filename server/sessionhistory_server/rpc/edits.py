"""The RPCs that change what a session has become."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.rpc import convert
from sessionhistory_server.rpc.base import Servicer

if TYPE_CHECKING:
    from sessionhistory_server.edits import Edits


class EditServicer(Servicer):
    """Truncations."""

    def __init__(self, edits: Edits, *, require_user_id: bool) -> None:
        super().__init__(require_user_id=require_user_id)
        self._edits = edits

    async def TruncateHistory(  # noqa: N802
        self, request: pb.TruncateHistoryRequest
    ) -> pb.TruncateHistoryResponse:
        """Remove the messages after a sequence."""
        checks = self.checked(request)
        checks.require(request.HasField("after_sequence"), "after_sequence", "is required; 0 removes all")
        checks.not_negative("after_sequence", request.after_sequence)
        checks.not_negative("expected_last_sequence", request.expected_last_sequence)
        checks.finish()
        truncated = await self._edits.truncate(
            request.session_id,
            request.user_id or None,
            request.after_sequence,
            expected_last_sequence=convert.optional(request, "expected_last_sequence"),
        )
        return pb.TruncateHistoryResponse(
            removed_message_count=truncated.removed_message_count, **truncated.counters._asdict()
        )
