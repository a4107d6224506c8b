"""The RPC of a session's state, and what it shares with appends that change one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server import limits
from sessionhistory_server.model import StateChange
from sessionhistory_server.rpc import convert
from sessionhistory_server.rpc.base import Servicer

if TYPE_CHECKING:
    from sessionhistory_server.rpc.checks import Checks
    from sessionhistory_server.state import SessionState


class StateServicer(Servicer):
    """The state of sessions."""

    def __init__(self, state: SessionState, *, require_user_id: bool) -> None:
        super().__init__(require_user_id=require_user_id)
        self._state = state

    async def UpdateState(self, request: pb.UpdateStateRequest) -> pb.UpdateStateResponse:
        """Change a state by a merge patch."""
        checks = self.checked(request)
        checks.require(request.patch, "patch", "is required")
        check_patch(checks, "patch", request.patch)
        checks.not_negative("expected_state_version", request.expected_state_version)
        checks.finish()
        change = StateChange(request.patch, convert.optional(request, "expected_state_version"))
        session = await self._state.patch(request.session_id, request.user_id or None, change)
        return pb.UpdateStateResponse(session=convert.session_message(session))


def check_patch(checks: Checks, field: str, patch: str) -> None:
    """Check a merge patch, or none."""
    checks.json_object(field, patch, limits.MAX_STATE_BYTES)


def change_of(request: pb.AppendMessageRequest | pb.AppendMessagesRequest) -> StateChange | None:
    """Return how an append changes the state, and what it expects there; ``None`` if neither."""
    if not request.state_patch and not request.HasField("expected_state_version"):
        return None
    return StateChange(request.state_patch or None, convert.optional(request, "expected_state_version"))
