"""The client's methods for sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.field_mask_pb2 import FieldMask

from sessionhistory._codec.fields import build
from sessionhistory._codec.filters import encode_session_filters
from sessionhistory._codec.ids import checked_user_id, new_id
from sessionhistory._codec.results import recount_tokens_result, session_page
from sessionhistory._codec.session import decode_session, encode_new_session, encode_session_update
from sessionhistory.types import CreateSessionResult
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Unpack

    from sessionhistory._sync.transport import Transport
    from sessionhistory.types import (
        RecountTokensResult,
        Session,
        SessionFields,
        SessionFilters,
        SessionPage,
        SessionUpdate,
    )


class Sessions:
    """The methods that create, read, change, list, delete and restore sessions."""

    _transport: Transport

    def create_session(
        self,
        session_id: str | None = None,
        session: SessionFields | None = None,
        *,
        user_id: str | None = None,
        allow_existing: bool = False,
        timeout_seconds: float | None = None,
    ) -> CreateSessionResult:
        """Create a session.

        Args:
            session_id: The id of the new session; ``None``: the client makes one.
            session: The fields of the new session; ``None``: the defaults.
            user_id: The owner of the new session; ``None``: it has none.
            allow_existing: If a live session has ``session_id``, return it instead of raising
                ``SessionExistsError``; with a ``user_id``, only if that user owns it.
            timeout_seconds: How long the call may take, with all its retries.
        """
        request = build(
            pb.CreateSessionRequest,
            session_id=session_id or new_id(),
            user_id=checked_user_id(user_id),
            session=encode_new_session(session, "session"),
            allow_existing=allow_existing or not session_id,
        )
        response = self._transport.call(
            "CreateSession", request, repeatable=request.allow_existing, timeout_seconds=timeout_seconds
        )
        # A session whose id the client has made is new, even if an earlier attempt created it.
        created = response.created or not session_id
        return CreateSessionResult(session=decode_session(response.session), created=created)

    def get_session(
        self, session_id: str, *, user_id: str | None = None, timeout_seconds: float | None = None
    ) -> Session:
        """Return a session."""
        request = build(pb.GetSessionRequest, session_id=session_id, user_id=checked_user_id(user_id))
        response = self._transport.call("GetSession", request, timeout_seconds=timeout_seconds)
        return decode_session(response.session)

    def update_session(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        etag: str = "",
        timeout_seconds: float | None = None,
        **changes: Unpack[SessionUpdate],
    ) -> Session:
        """Change the named fields of a session, and return the session.

        Args:
            session_id: The session.
            user_id: The user that the call acts for.
            etag: The etag of the session that you read; if the session has changed since, the call raises
                ``EtagMismatchError``.
            timeout_seconds: How long the call may take, with all its retries.
            **changes: The new values: ``title``, ``model``, ``status``, ``labels``, ``metadata``,
                ``state``, ``history_settings``, ``expire_time``, ``ttl``; ``None`` or empty clears the field.
        """
        request = build(
            pb.UpdateSessionRequest,
            session_id=session_id,
            user_id=checked_user_id(user_id),
            session=encode_session_update(changes, "session"),
            update_mask=FieldMask(paths=list(changes)),
            etag=etag,
        )
        response = self._transport.call(
            "UpdateSession", request, repeatable=not etag, timeout_seconds=timeout_seconds
        )
        return decode_session(response.session)

    def list_sessions(
        self, *, page_size: int = 0, timeout_seconds: float | None = None, **filters: Unpack[SessionFilters]
    ) -> Iterator[Session]:
        """Yield sessions, by default the latest activity first, and fetch them page by page.

        Args:
            page_size: How many sessions to fetch at once, 1 to 1,000; 0: 50.
            timeout_seconds: How long the call for each page may take, with all its retries.
            **filters: Which sessions, and in which order: ``user_id``, ``application_id``, ``statuses``,
                ``labels``, ``title_contains``, ``create_time_after``, ``create_time_before``,
                ``last_activity_time_after``, ``last_activity_time_before``, ``show_deleted``, ``order_by``,
                as in ``SessionFilters``.
        """
        token = ""
        while True:
            page = self.list_sessions_page(
                page_size=page_size, page_token=token, timeout_seconds=timeout_seconds, **filters
            )
            for session in page.sessions:
                yield session
            token = page.next_page_token
            if not token:
                return

    def list_sessions_page(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout_seconds: float | None = None,
        **filters: Unpack[SessionFilters],
    ) -> SessionPage:
        """Return a page of sessions. With the same filters, the token of a page leads to the next page."""
        request = build(
            pb.ListSessionsRequest,
            page_size=page_size,
            page_token=page_token,
            **encode_session_filters(filters),
        )
        response = self._transport.call("ListSessions", request, timeout_seconds=timeout_seconds)
        return session_page(response)

    def delete_session(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        purge: bool = False,
        allow_missing: bool = False,
        timeout_seconds: float | None = None,
    ) -> Session | None:
        """Delete a session, and return the deleted session.

        Args:
            session_id: The session.
            user_id: The user that the call acts for.
            purge: Delete the session permanently and at once. Otherwise it can be restored until its
                ``purge_time``.
            allow_missing: If there is no such session, return ``None`` instead of raising
                ``SessionNotFoundError``.
            timeout_seconds: How long the call may take, with all its retries.
        """
        request = build(
            pb.DeleteSessionRequest,
            session_id=session_id,
            user_id=checked_user_id(user_id),
            purge=purge,
            allow_missing=allow_missing,
        )
        response = self._transport.call(
            "DeleteSession", request, repeatable=allow_missing, timeout_seconds=timeout_seconds
        )
        return decode_session(response.session) if response.HasField("session") else None

    def undelete_session(
        self, session_id: str, *, user_id: str | None = None, timeout_seconds: float | None = None
    ) -> Session:
        """Restore a deleted or expired session, and return it."""
        request = build(pb.UndeleteSessionRequest, session_id=session_id, user_id=checked_user_id(user_id))
        response = self._transport.call(
            "UndeleteSession", request, repeatable=False, timeout_seconds=timeout_seconds
        )
        return decode_session(response.session)

    def recount_tokens(
        self, session_id: str, *, user_id: str | None = None, timeout_seconds: float | None = None
    ) -> RecountTokensResult:
        """Count the messages of a session again with the server's token counter, and use it from then on.

        The server reads the whole session, so the time of the call depends on its length. A message that came
        with a ``token_count`` keeps it.
        """
        request = build(pb.RecountTokensRequest, session_id=session_id, user_id=checked_user_id(user_id))
        response = self._transport.call("RecountTokens", request, timeout_seconds=timeout_seconds)
        return recount_tokens_result(response)
