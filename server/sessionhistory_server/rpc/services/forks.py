"""The RPCs that create a session from another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server.model.caller import WRITE
from sessionhistory_server.rpc.convert import session as convert
from sessionhistory_server.rpc.convert.fields import optional
from sessionhistory_server.rpc.dispatch import rpc
from sessionhistory_server.rpc.validation import session as rules
from sessionhistory_server.usecases.forks import NewBranch

if TYPE_CHECKING:
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.usecases.forks import Forks


class ForksServicer:
    """The servicer of forks and resets."""

    def __init__(self, forks: Forks) -> None:
        self._forks = forks

    @rpc(WRITE, rules.check_fork)
    async def ForkSession(
        self, caller: Caller, request: pb.ForkSessionRequest, response: pb.ForkSessionResponse
    ) -> None:
        """Create a session with the messages of another one."""
        session, response.created = await self._forks.fork(
            caller,
            request.session_id,
            _new_branch(request),
            through_sequence=optional(request, "through_sequence"),
            allow_existing=request.allow_existing,
        )
        convert.show_session(session, response.session)

    @rpc(WRITE, rules.check_reset)
    async def ResetSession(
        self, caller: Caller, request: pb.ResetSessionRequest, response: pb.ResetSessionResponse
    ) -> None:
        """End a session, and create one that continues it."""
        abandoned = request.previous_status == spb.SESSION_STATUS_ABANDONED
        session, previous = await self._forks.reset(
            caller,
            request.session_id,
            _new_branch(request),
            keep_messages=request.keep_messages,
            keep_state=request.keep_state,
            previous_status="ABANDONED" if abandoned else "COMPLETED",
        )
        convert.show_session(session, response.session)
        convert.show_session(previous, response.previous_session)


def _new_branch(request: pb.ForkSessionRequest | pb.ResetSessionRequest) -> NewBranch:
    content = convert.session_content(request.new_session)
    return NewBranch(request.new_session_id, request.new_user_id or None, content)
