"""The client's methods for the active session of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory._codec.fields import build
from sessionhistory._codec.ids import checked_application_id, new_id, required_user_id
from sessionhistory._codec.session import decode_session, encode_new_session
from sessionhistory.types import EnsureActiveSessionResult
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from sessionhistory._async.transport import AsyncTransport
    from sessionhistory.types import Session, SessionFields


class AsyncActiveSessions:
    """The methods that find the active session of a user, or create one."""

    _transport: AsyncTransport

    async def get_active_session(
        self, user_id: str, *, application_id: str | None = None, timeout_seconds: float | None = None
    ) -> Session:
        """Return the ``ACTIVE`` session of a user that has the latest ``last_activity_time``.

        Args:
            user_id: The user.
            application_id: Find only a session of this application; ``None``: of any application.
            timeout_seconds: How long the call may take, with all its retries.

        Raises:
            SessionNotFoundError: The user has no active session.
        """
        request = build(
            pb.GetActiveSessionRequest,
            user_id=required_user_id(user_id),
            application_id=checked_application_id(application_id),
        )
        response = await self._transport.call("GetActiveSession", request, timeout_seconds=timeout_seconds)
        return decode_session(response.session)

    async def ensure_active_session(
        self,
        user_id: str,
        new_session: SessionFields | None = None,
        *,
        new_session_id: str | None = None,
        timeout_seconds: float | None = None,
    ) -> EnsureActiveSessionResult:
        """Return the session that ``get_active_session`` returns, or create one if the user has none.

        Of concurrent calls, one creates the session and all return it.

        Args:
            user_id: The user, and the owner of a new session.
            new_session: The fields of a new session; ``None``: the defaults. With an ``application_id`` the
                call finds only a session of that application; without one, a session of any application.
            new_session_id: The id of a new session; ``None``: the client makes one. If the user has no active
                session and the id is taken, the call raises ``SessionExistsError``.
            timeout_seconds: How long the call may take, with all its retries.
        """
        request = build(
            pb.EnsureActiveSessionRequest,
            user_id=required_user_id(user_id),
            new_session_id=new_session_id or new_id(),
            new_session=encode_new_session(new_session, "new_session"),
        )
        response = await self._transport.call("EnsureActiveSession", request, timeout_seconds=timeout_seconds)
        # A session whose id the client has made is new, even if an earlier attempt created it.
        made = not new_session_id and response.session.session_id == request.new_session_id
        created = response.created or made
        return EnsureActiveSessionResult(session=decode_session(response.session), created=created)
