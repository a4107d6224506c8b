"""The client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionhistory import _requests, _responses
from sessionhistory._async.edits import AsyncEdits
from sessionhistory._async.lifecycle import AsyncLifecycle
from sessionhistory._async.stream import AsyncStreams
from sessionhistory._async.transport import AsyncTransport
from sessionhistory.types import CreateSessionResult
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self, Unpack

    import grpc

    from sessionhistory.types import (
        AppendMessageResult,
        AppendMessagesResult,
        History,
        HistoryOptions,
        JsonObject,
        Message,
        MessageFilters,
        MessagePage,
        RecountTokensResult,
        Session,
        SessionFilters,
        SessionPage,
        SessionUpdate,
    )

DEFAULT_TIMEOUT_SECONDS: Final = 10.0


class AsyncSessionHistoryClient(AsyncEdits, AsyncLifecycle, AsyncStreams):
    """A client of a Session History service, to be shared and kept: it holds the connections.

    Every call has a deadline, and is tried again until then while the service is unavailable, if doing it
    twice does what doing it once does. That is so for all calls but these, which are then yours to repeat:
    ``create_session`` and ``fork_session`` with an id and without ``allow_existing``, ``update_session`` with
    an etag, ``update_state`` with an expected version, ``delete_session`` without ``allow_missing``,
    ``undelete_session``, and ``truncate_history`` without ``expected_last_sequence``.

    ``user_id`` says which user a call acts for: another's session is then not found.

    A call that fails raises ``SessionHistoryError``, in one of the classes of ``sessionhistory.errors``;
    a client that is closed raises ``RuntimeError``.

    Args:
        target: ``HOST:PORT``, or any target of gRPC; where it names several addresses, all of them are used.
        credentials: TLS, as ``grpc.ssl_channel_credentials()`` gives it; ``None``: plaintext.
        metadata: What to send with every call, for example ``{"authorization": "Bearer …"}``, or a function
            that returns it anew for each attempt. Keys are lower case.
        timeout_seconds: How long a call may take in all, where it does not say itself.
        options: Channel arguments of gRPC, beside or instead of the client's own.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Mapping[str, str | bytes] | Callable[[], Mapping[str, str | bytes]] = {},  # noqa: B006 - only read
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self._transport = AsyncTransport(
            target,
            credentials=credentials,
            metadata=metadata,
            timeout_seconds=timeout_seconds,
            options=options,
        )

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.close()

    async def close(self) -> None:
        """Close the connections. Calls under way, and those that come later, raise ``RuntimeError``."""
        await self._transport.close()

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

    async def append_message(  # noqa: PLR0913 - of the contract
        self,
        session_id: str | None,
        message: Message,
        *,
        user_id: str | None = None,
        create_session: Session | None = None,
        expected_last_sequence: int | None = None,
        history: HistoryOptions | None = None,
        state_patch: JsonObject | None = None,
        expected_state_version: int | None = None,
        timeout_seconds: float | None = None,
    ) -> AppendMessageResult:
        """Store a message at the end of a session. The same message again returns the stored one.

        Args:
            session_id: The session; ``None``, with ``create_session``: a new one.
            message: The message.
            user_id: The user the call acts for.
            create_session: What to make if there is no such session.
            expected_last_sequence: What the session's last must be, or ``SequenceMismatchError``.
            history: Return the window after it, with these limits.
            state_patch: Changes the state with it, as ``update_state`` does; once, whatever is retried.
            expected_state_version: What ``state_version`` must be, or ``StateVersionMismatchError``.
            timeout_seconds: How long the call may take in all.
        """
        request = _requests.append_message(
            session_id,
            message,
            user_id=user_id,
            create=create_session,
            expected_last_sequence=expected_last_sequence,
            history=history,
            state_patch=state_patch,
            expected_state_version=expected_state_version,
        )
        response = await self._transport.call("AppendMessage", request, timeout_seconds=timeout_seconds)
        return _responses.append_message_result(response)

    async def append_messages(  # noqa: PLR0913 - of the contract
        self,
        session_id: str | None,
        messages: Iterable[Message],
        *,
        user_id: str | None = None,
        create_session: Session | None = None,
        expected_last_sequence: int | None = None,
        replace_after_sequence: int | None = None,
        state_patch: JsonObject | None = None,
        expected_state_version: int | None = None,
        timeout_seconds: float | None = None,
    ) -> AppendMessagesResult:
        """Store 1 to 500 messages at the end of a session, in order, all or nothing.

        Args:
            session_id: The session; ``None``, with ``create_session``: a new one.
            messages: The messages, together below 3 MiB.
            user_id: The user the call acts for.
            create_session: What to make if there is no such session.
            expected_last_sequence: What the session's last must be, or ``SequenceMismatchError``.
            replace_after_sequence: Remove the messages after this one first, to edit and ask again; 0: all.
            state_patch: Changes the state with them, as ``update_state`` does; once, whatever is retried.
            expected_state_version: What ``state_version`` must be, or ``StateVersionMismatchError``.
            timeout_seconds: How long the call may take in all.
        """
        request = _requests.append_messages(
            session_id,
            messages,
            user_id=user_id,
            create=create_session,
            expected_last_sequence=expected_last_sequence,
            replace_after_sequence=replace_after_sequence,
            state_patch=state_patch,
            expected_state_version=expected_state_version,
        )
        response = await self._transport.call("AppendMessages", request, timeout_seconds=timeout_seconds)
        return _responses.append_messages_result(response)

    async def get_message(
        self,
        session_id: str,
        *,
        message_id: str | None = None,
        sequence: int | None = None,
        user_id: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Message:
        """Return one message, by its id or its sequence."""
        request = _requests.get_message(session_id, message_id=message_id, sequence=sequence, user_id=user_id)
        response = await self._transport.call("GetMessage", request, timeout_seconds=timeout_seconds)
        return _responses.message(response.message)

    async def get_history(  # noqa: PLR0913 - of the contract
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        max_messages: int | None = None,
        token_budget: int | None = None,
        before_sequence: int | None = None,
        include_pinned: bool | None = None,
        max_turns: int | None = None,
        timeout_seconds: float | None = None,
    ) -> History:
        """Return the context for the next model call: the newest messages that fit the limits.

        Args:
            session_id: The session.
            user_id: The user the call acts for.
            max_messages: At most this many, 0 to 1,000; ``None``: the session's, else the server's.
            token_budget: At most this many tokens; ``None``: the session's, else the server's.
            before_sequence: Only messages before this one.
            include_pinned: Whether pinned messages are part of it; ``None``: they are.
            max_turns: At most this many turns of the newest messages, each whole; ``None``: the oldest may be
                cut anywhere.
            timeout_seconds: How long the call may take in all.
        """
        request = _requests.get_history(
            session_id,
            user_id=user_id,
            max_messages=max_messages,
            token_budget=token_budget,
            before_sequence=before_sequence,
            include_pinned=include_pinned,
            max_turns=max_turns,
        )
        response = await self._transport.call("GetHistory", request, timeout_seconds=timeout_seconds)
        return _responses.history(response.history)

    async def list_messages(
        self,
        session_id: str,
        *,
        page_size: int = 0,
        timeout_seconds: float | None = None,
        **filters: Unpack[MessageFilters],
    ) -> AsyncIterator[Message]:
        """Yield all messages of a session by sequence, never trimmed, and fetch them page by page.

        Args:
            session_id: The session.
            page_size: How many to fetch at once, 1 to 1,000; 0: 50.
            timeout_seconds: How long the call for each page may take.
            **filters: Which messages, and in which direction: ``user_id``, ``descending``,
                ``after_sequence``, ``before_sequence``, ``roles``, ``create_time_after``,
                ``create_time_before``, as in ``MessageFilters``.
        """
        token = ""
        while True:
            page = await self.list_messages_page(
                session_id, page_size=page_size, page_token=token, timeout_seconds=timeout_seconds, **filters
            )
            for message in page.messages:
                yield message
            token = page.next_page_token
            if not token:
                return

    async def list_messages_page(
        self,
        session_id: str,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout_seconds: float | None = None,
        **filters: Unpack[MessageFilters],
    ) -> MessagePage:
        """Return one page of messages; the token of the page before leads to the next, with equal filters."""
        request = _requests.list_messages(session_id, page_size=page_size, page_token=page_token, **filters)
        response = await self._transport.call("ListMessages", request, timeout_seconds=timeout_seconds)
        return _responses.message_page(response)
