"""The RPCs of whole histories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server.rpc import convert, validate
from sessionhistory_server.rpc.base import Servicer

if TYPE_CHECKING:
    from sessionhistory_server.edits import Edits
    from sessionhistory_server.rpc.checks import Checks
    from sessionhistory_server.store.forks import Fork

_ENDED = (spb.SESSION_STATUS_UNSPECIFIED, spb.SESSION_STATUS_COMPLETED, spb.SESSION_STATUS_ABANDONED)


class EditServicer(Servicer):
    """Truncations, forks and resets."""

    def __init__(self, edits: Edits, *, require_user_id: bool) -> None:
        super().__init__(require_user_id=require_user_id)
        self._edits = edits

    async def TruncateHistory(self, request: pb.TruncateHistoryRequest) -> pb.TruncateHistoryResponse:
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

    async def ForkSession(self, request: pb.ForkSessionRequest) -> pb.ForkSessionResponse:
        """Make a session with the messages of another."""
        checks = self._checked(request)
        checks.not_negative("up_to_sequence", request.up_to_sequence)
        checks.finish()
        session, created = await self._edits.fork(
            self._plan(request),
            up_to_sequence=convert.optional(request, "up_to_sequence"),
            allow_existing=request.allow_existing,
        )
        return pb.ForkSessionResponse(session=convert.session_message(session), created=created)

    async def ResetSession(self, request: pb.ResetSessionRequest) -> pb.ResetSessionResponse:
        """End a session and make one that goes on in its place."""
        checks = self._checked(request)
        active = request.session.status in (spb.SESSION_STATUS_UNSPECIFIED, spb.SESSION_STATUS_ACTIVE)
        checks.require(active, "session.status", "must be ACTIVE: the session goes on")
        checks.require(request.previous_status in _ENDED, "previous_status", "must be COMPLETED or ABANDONED")
        checks.finish()
        abandoned = request.previous_status == spb.SESSION_STATUS_ABANDONED
        session, previous = await self._edits.reset(
            self._plan(request),
            keep_history=request.keep_history,
            keep_state=request.keep_state,
            previous_status="ABANDONED" if abandoned else "COMPLETED",
        )
        return pb.ResetSessionResponse(
            session=convert.session_message(session), previous_session=convert.session_message(previous)
        )

    def _checked(self, request: pb.ForkSessionRequest | pb.ResetSessionRequest) -> Checks:
        checks, user_id = self.checked(request), request.session.user_id
        validate.check_session(checks, "session", request.session, require_user_id=False)
        agree = not request.user_id or user_id in ("", request.user_id)
        checks.require(agree, "session.user_id", "must be empty or the same as user_id")
        return checks

    def _plan(self, request: pb.ForkSessionRequest | pb.ResetSessionRequest) -> Fork:
        return self._edits.plan(
            request.session_id,
            request.user_id or None,
            request.session.session_id,
            convert.session_content(request.session, request.session.user_id or None),
        )
