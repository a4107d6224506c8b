"""The methods of the client for sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory import _requests, _responses
from sessionhistory.types import CreateSessionResult
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Unpack

    from sessionhistory._async.transport import AsyncTransport
    from sessionhistory.types import (
        JsonObject,
        RecountTokensResult,
        Session,
        SessionFilters,
        SessionPage,
        SessionUpdate,
    )


class AsyncSessions:
    """A part of the client."""

    _transport: AsyncTransport

    async def create_session(
        self, session: Session, *, allow_existing: bool = False, timeout_seconds: float | None = None
    ) -> CreateSessionResult:
        """Create a session; without a ``session_id`` it gets one.

        Args:
            session: What it is to be.
            allow_existing: Return the one that has the id already, instead of ``SessionExistsError``.
            timeout_seconds: How long the call may take in all.
        """
        request = _requests.create_session(session, allow_existing=allow_existing)
        response = await self._transport.call(
            "CreateSession", request, repeatable=request.allow_existing, timeout_seconds=timeout_seconds
        )
        # An id that was made for this call is new, whichever of its attempts it was that made the session.
        created = response.created or not session.session_id
        return CreateSessionResult(session=_responses.session(response.session), created=created)

    async def get_session(
        self, session_id: str, *, user_id: str | None = None, timeout_seconds: float | None = None
    ) -> Session:
        """Return a session."""
        request = _requests.of_session(pb.GetSessionRequest, session_id, user_id=user_id)
        response = await self._transport.call("GetSession", request, timeout_seconds=timeout_seconds)
        return _responses.session(response.session)

    async def get_active_session(
        self, user_id: str, *, create_session: Session | None = None, timeout_seconds: float | None = None
    ) -> CreateSessionResult:
        """Return the session in which a user was active last, of those that are active.

        Args:
            user_id: The user.
            create_session: What to make if there is none, instead of ``SessionNotFoundError``; of calls at
                the same time one makes it.
            timeout_seconds: How long the call may take in all.
        """
        request = _requests.get_active_session(user_id, create=create_session)
        response = await self._transport.call("GetActiveSession", request, timeout_seconds=timeout_seconds)
        named = create_session is None or create_session.session_id
        return _responses.active_session_result(
            response, made_id="" if named else request.create_session.session_id
        )

    async def update_session(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        etag: str = "",
        timeout_seconds: float | None = None,
        **changes: Unpack[SessionUpdate],
    ) -> Session:
        """Change what is named of a session, and return it.

        Args:
            session_id: The session.
            user_id: The user the call acts for.
            etag: Of the session as it was read: ``EtagMismatchError`` if it has changed since.
            timeout_seconds: How long the call may take in all.
            **changes: The new values: ``title``, ``model``, ``status``, ``labels``, ``metadata``,
                ``state``, ``history_settings``, ``expire_time``, ``ttl``; ``None`` or empty clears.
        """
        request = _requests.update_session(session_id, changes, user_id=user_id, etag=etag)
        response = await self._transport.call(
            "UpdateSession", request, repeatable=not etag, timeout_seconds=timeout_seconds
        )
        return _responses.session(response.session)

    async def update_state(
        self,
        session_id: str,
        patch: JsonObject,
        *,
        user_id: str | None = None,
        expected_state_version: int | None = None,
        timeout_seconds: float | None = None,
    ) -> Session:
        """Change the state of a session by a JSON merge patch, and return the session.

        What the patch does not name stays as it is stored, and what others patch at the same time is kept.

        Args:
            session_id: The session.
            patch: A member that is ``None`` is removed, an object is merged into that of its name, and
                all else takes the place of what was there.
            user_id: The user the call acts for.
            expected_state_version: What ``state_version`` must be, or ``StateVersionMismatchError``.
            timeout_seconds: How long the call may take in all.
        """
        request = _requests.update_state(
            session_id, patch, user_id=user_id, expected_state_version=expected_state_version
        )
        response = await self._transport.call(
            "UpdateState", request, repeatable=expected_state_version is None, timeout_seconds=timeout_seconds
        )
        return _responses.session(response.session)

    async def list_sessions(
        self, *, page_size: int = 0, timeout_seconds: float | None = None, **filters: Unpack[SessionFilters]
    ) -> AsyncIterator[Session]:
        """Yield sessions, newest first, and fetch them page by page.

        Args:
            page_size: How many to fetch at once, 1 to 1,000; 0: 50.
            timeout_seconds: How long the call for each page may take.
            **filters: Which sessions, and in which order: ``user_id``, ``statuses``, ``labels``,
                ``title_contains``, ``create_time_after``, ``create_time_before``, ``active_after``,
                ``active_before``, ``show_deleted``, ``order_by``, as in ``SessionFilters``.
        """
        token = ""
        while True:
            page = await self.list_sessions_page(
                page_size=page_size, page_token=token, timeout_seconds=timeout_seconds, **filters
            )
            for session in page.sessions:
                yield session
            token = page.next_page_token
            if not token:
                return

    async def list_sessions_page(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout_seconds: float | None = None,
        **filters: Unpack[SessionFilters],
    ) -> SessionPage:
        """Return one page of sessions; the token of the page before leads to the next, with equal filters."""
        request = _requests.list_sessions(page_size=page_size, page_token=page_token, **filters)
        response = await self._transport.call("ListSessions", request, timeout_seconds=timeout_seconds)
        return _responses.session_page(response)

    async def delete_session(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        purge: bool = False,
        allow_missing: bool = False,
        timeout_seconds: float | None = None,
    ) -> Session | None:
        """Delete a session, and return it as it is then.

        Args:
            session_id: The session.
            user_id: The user the call acts for.
            purge: For good and at once, instead of restorable until ``purge_time``.
            allow_missing: Return ``None`` if there is no such session, instead of ``SessionNotFoundError``.
            timeout_seconds: How long the call may take in all.
        """
        request = _requests.delete_session(
            session_id, user_id=user_id, purge=purge, allow_missing=allow_missing
        )
        response = await self._transport.call(
            "DeleteSession", request, repeatable=allow_missing, timeout_seconds=timeout_seconds
        )
        return _responses.session(response.session) if response.HasField("session") else None

    async def undelete_session(
        self, session_id: str, *, user_id: str | None = None, timeout_seconds: float | None = None
    ) -> Session:
        """Restore a deleted or expired session, and return it."""
        request = _requests.of_session(pb.UndeleteSessionRequest, session_id, user_id=user_id)
        response = await self._transport.call(
            "UndeleteSession", request, repeatable=False, timeout_seconds=timeout_seconds
        )
        return _responses.session(response.session)

    async def recount_tokens(
        self, session_id: str, *, user_id: str | None = None, timeout_seconds: float | None = None
    ) -> RecountTokensResult:
        """Count the messages of a session again by the server's token counter, and make that the session's.

        It takes as long as it takes to read them all. Counts that came with their messages stay.
        """
        request = _requests.of_session(pb.RecountTokensRequest, session_id, user_id=user_id)
        response = await self._transport.call("RecountTokens", request, timeout_seconds=timeout_seconds)
        return _responses.recount_tokens_result(response)
