"""The methods of the client for messages and windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory import _requests, _responses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from typing import Unpack

    from sessionhistory._async.transport import AsyncTransport
    from sessionhistory.types import (
        AppendMessageResult,
        AppendMessagesResult,
        History,
        HistoryOptions,
        JsonObject,
        Message,
        MessageFilters,
        MessagePage,
        Session,
    )


class AsyncMessages:
    """A part of the client."""

    _transport: AsyncTransport

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
