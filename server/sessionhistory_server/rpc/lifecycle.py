"""The RPC that finds where a user's conversation goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server.rpc import convert, validate
from sessionhistory_server.rpc.base import Servicer
from sessionhistory_server.rpc.checks import Checks

if TYPE_CHECKING:
    from sessionhistory_server.lifecycle import ActiveSessions


class LifecycleServicer(Servicer):
    """The active sessions of users."""

    def __init__(self, active: ActiveSessions, *, require_user_id: bool) -> None:
        super().__init__(require_user_id=require_user_id)
        self._active = active

    async def GetActiveSession(self, request: pb.GetActiveSessionRequest) -> pb.GetActiveSessionResponse:
        """Return the active session of a user, or make it."""
        self._checked_active(request).finish()
        if not request.HasField("create_session"):
            session, created = await self._active.get(request.user_id), False
        else:
            create = request.create_session
            session, created = await self._active.get_or_create(
                request.user_id, create.session_id, convert.session_content(create, request.user_id)
            )
        return pb.GetActiveSessionResponse(session=convert.session_message(session), created=created)

    def _checked_active(self, request: pb.GetActiveSessionRequest) -> Checks:
        checks, create = Checks(), request.create_session
        checks.require(request.user_id, "user_id", "is required")
        checks.user_id("user_id", request.user_id, required=False)
        validate.check_session(checks, "create_session", create, require_user_id=False)
        active = create.status in (spb.SESSION_STATUS_UNSPECIFIED, spb.SESSION_STATUS_ACTIVE)
        checks.require(active, "create_session.status", "must be ACTIVE: it is to be the active session")
        same = create.user_id in ("", request.user_id)
        checks.require(same, "create_session.user_id", "must be empty or the same as user_id")
        return checks
