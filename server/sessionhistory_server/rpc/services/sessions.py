"""The RPCs of sessions: their fields, their state, and the active session of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.errors import NotFoundError
from sessionhistory_server.model.caller import READ, WRITE
from sessionhistory_server.model.session import StateChange
from sessionhistory_server.observability import trail
from sessionhistory_server.rpc.convert import filters
from sessionhistory_server.rpc.convert import session as convert
from sessionhistory_server.rpc.convert.fields import optional
from sessionhistory_server.rpc.dispatch import rpc
from sessionhistory_server.rpc.validation import masks
from sessionhistory_server.rpc.validation import session as rules

if TYPE_CHECKING:
    from sessionhistory.v1 import session_history_service_pb2 as pb
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.usecases.sessions import Sessions


def _removal(request: pb.DeleteSessionRequest) -> str:
    return trail.PURGE if request.purge else trail.DELETION


class SessionsServicer:
    """The servicer of the RPCs on sessions, on their state, and on the active session of a user."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @rpc(WRITE, rules.check_create)
    async def CreateSession(
        self, caller: Caller, request: pb.CreateSessionRequest, response: pb.CreateSessionResponse
    ) -> None:
        """Create a session."""
        session, response.created = await self._sessions.create(
            caller,
            request.session_id,
            convert.session_content(request.session),
            allow_existing=request.allow_existing,
        )
        convert.show_session(session, response.session)

    @rpc(READ, rules.check_named)
    async def GetSession(
        self, caller: Caller, request: pb.GetSessionRequest, response: pb.GetSessionResponse
    ) -> None:
        """Return one session."""
        session = await self._sessions.get(caller, request.session_id)
        convert.show_session(session, response.session)

    @rpc(WRITE, rules.check_update)
    async def UpdateSession(
        self, caller: Caller, request: pb.UpdateSessionRequest, response: pb.UpdateSessionResponse
    ) -> None:
        """Change the fields that the mask names."""
        session = await self._sessions.update(
            caller, request.session_id, masks.changes(request), etag=request.etag or None
        )
        convert.show_session(session, response.session)

    @rpc(READ, rules.check_list, is_large=True)
    async def ListSessions(
        self, caller: Caller, request: pb.ListSessionsRequest, response: pb.ListSessionsResponse
    ) -> None:
        """Return a page of sessions."""
        found, response.next_page_token = await self._sessions.find(
            caller,
            filters.session_filter(request),
            page_size=filters.page_size(request.page_size),
            page_token=request.page_token,
        )
        for session in found:
            convert.show_session(session, response.sessions.add())

    @rpc(WRITE, rules.check_named, act=_removal)
    async def DeleteSession(
        self, caller: Caller, request: pb.DeleteSessionRequest, response: pb.DeleteSessionResponse
    ) -> None:
        """Delete a session."""
        try:
            session = await self._sessions.delete(caller, request.session_id, purge=request.purge)
        except NotFoundError:
            if not request.allow_missing:
                raise
        else:
            convert.show_session(session, response.session)

    @rpc(WRITE, rules.check_named, act=lambda _: trail.RESTORATION)
    async def UndeleteSession(
        self, caller: Caller, request: pb.UndeleteSessionRequest, response: pb.UndeleteSessionResponse
    ) -> None:
        """Restore a deleted session."""
        session = await self._sessions.undelete(caller, request.session_id)
        convert.show_session(session, response.session)

    @rpc(WRITE, rules.check_update_state)
    async def UpdateState(
        self, caller: Caller, request: pb.UpdateStateRequest, response: pb.UpdateStateResponse
    ) -> None:
        """Change a state by a merge patch."""
        change = StateChange(request.patch, optional(request, "expected_state_version"))
        session = await self._sessions.patch_state(caller, request.session_id, change)
        convert.show_session(session, response.session)

    @rpc(READ, rules.check_get_active)
    async def GetActiveSession(
        self, caller: Caller, request: pb.GetActiveSessionRequest, response: pb.GetActiveSessionResponse
    ) -> None:
        """Return the active session of a user."""
        session = await self._sessions.get_active(caller, request.application_id or None)
        convert.show_session(session, response.session)

    @rpc(WRITE, rules.check_ensure_active)
    async def EnsureActiveSession(
        self, caller: Caller, request: pb.EnsureActiveSessionRequest, response: pb.EnsureActiveSessionResponse
    ) -> None:
        """Return the active session of a user, or create one."""
        session, response.created = await self._sessions.ensure_active(
            caller, request.new_session_id, convert.session_content(request.new_session)
        )
        convert.show_session(session, response.session)
