"""The client's methods for messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory._codec.fields import build, encode_list, invalid_field, optional
from sessionhistory._codec.filters import encode_message_filters
from sessionhistory._codec.history import encode_history_options
from sessionhistory._codec.ids import checked_user_id, id_or_new
from sessionhistory._codec.json_text import encode_json_object
from sessionhistory._codec.message import decode_message, encode_message
from sessionhistory._codec.results import (
    append_message_result,
    append_messages_result,
    message_page,
    truncate_messages_result,
)
from sessionhistory._codec.session import encode_new_session
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from typing import Unpack

    from sessionhistory._async.transport import AsyncTransport
    from sessionhistory.types import (
        AppendMessageResult,
        AppendMessagesResult,
        HistoryOptions,
        JsonObject,
        Message,
        MessageFilters,
        MessagePage,
        SessionFields,
        TruncateMessagesResult,
    )


class AsyncMessages:
    """The methods that append, read, list and remove messages: the whole conversation, as it was stored."""

    _transport: AsyncTransport

    async def append_message(  # noqa: PLR0913 - of the contract
        self,
        session_id: str | None,
        message: Message,
        *,
        user_id: str | None = None,
        new_session: SessionFields | None = None,
        expected_last_sequence: int | None = None,
        history: HistoryOptions | None = None,
        state_patch: JsonObject | None = None,
        expected_state_version: int | None = None,
        timeout_seconds: float | None = None,
    ) -> AppendMessageResult:
        """Store a message at the end of a session. The same message again returns the stored one.

        Args:
            session_id: The session; ``None``, with ``new_session``: a new one, whose id the client makes.
            message: The message.
            user_id: The user that the call acts for, and the owner of a new session.
            new_session: The fields of the session to create if no session has this id; ``None``: raise
                ``SessionNotFoundError``.
            expected_last_sequence: The last sequence that the session must have; otherwise the call raises
                ``SequenceMismatchError``.
            history: Return the history with the new message, with these limits and options.
            state_patch: Change the state with the message, as ``update_state`` does. Retries change it once.
            expected_state_version: The ``state_version`` that the session must have; otherwise the call
                raises ``StateVersionMismatchError``.
            timeout_seconds: How long the call may take, with all its retries.
        """
        request = build(
            pb.AppendMessageRequest,
            session_id=id_or_new(session_id, new_session),
            user_id=checked_user_id(user_id),
            message=encode_message(message, "message"),
            new_session=encode_new_session(new_session, "new_session"),
            expected_last_sequence=expected_last_sequence,
            history=encode_history_options(history, "history"),
            state_patch=encode_json_object(state_patch, "state_patch"),
            expected_state_version=expected_state_version,
        )
        response = await self._transport.call("AppendMessage", request, timeout_seconds=timeout_seconds)
        return append_message_result(response, state_version=optional(response, "state_version"))

    async def append_messages(  # noqa: PLR0913 - of the contract
        self,
        session_id: str | None,
        messages: Iterable[Message],
        *,
        user_id: str | None = None,
        new_session: SessionFields | None = None,
        expected_last_sequence: int | None = None,
        keep_through_sequence: int | None = None,
        state_patch: JsonObject | None = None,
        expected_state_version: int | None = None,
        timeout_seconds: float | None = None,
    ) -> AppendMessagesResult:
        """Store 1 to 500 messages at the end of a session, in order, all or nothing.

        Args:
            session_id: The session; ``None``, with ``new_session``: a new one, whose id the client makes.
            messages: The messages, together below 3 MiB.
            user_id: The user that the call acts for, and the owner of a new session.
            new_session: The fields of the session to create if no session has this id; ``None``: raise
                ``SessionNotFoundError``.
            expected_last_sequence: The last sequence that the session must have; otherwise the call raises
                ``SequenceMismatchError``.
            keep_through_sequence: First remove the messages after this sequence, in the same transaction: to
                edit a message and ask the model again, or with 0 to replace all messages; ``None``: remove
                nothing.
            state_patch: Change the state with the messages, as ``update_state`` does. Retries change it once.
            expected_state_version: The ``state_version`` that the session must have; otherwise the call
                raises ``StateVersionMismatchError``.
            timeout_seconds: How long the call may take, with all its retries.
        """
        request = build(
            pb.AppendMessagesRequest,
            session_id=id_or_new(session_id, new_session),
            user_id=checked_user_id(user_id),
            messages=encode_list(encode_message, messages, "messages"),
            new_session=encode_new_session(new_session, "new_session"),
            expected_last_sequence=expected_last_sequence,
            keep_through_sequence=keep_through_sequence,
            state_patch=encode_json_object(state_patch, "state_patch"),
            expected_state_version=expected_state_version,
        )
        response = await self._transport.call("AppendMessages", request, timeout_seconds=timeout_seconds)
        return append_messages_result(response)

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
        if (message_id is None) == (sequence is None):
            raise invalid_field("key", "give either message_id or sequence")
        request = build(
            pb.GetMessageRequest,
            session_id=session_id,
            user_id=checked_user_id(user_id),
            message_id=message_id,
            sequence=sequence,
        )
        response = await self._transport.call("GetMessage", request, timeout_seconds=timeout_seconds)
        return decode_message(response.message)

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
            page_size: How many messages to fetch at once, 1 to 1,000; 0: 50.
            timeout_seconds: How long the call for each page may take, with all its retries.
            **filters: Which messages, and in which order: ``user_id``, ``order_by``, ``after_sequence``,
                ``before_sequence``, ``roles``, ``create_time_after``, ``create_time_before``, as in
                ``MessageFilters``.
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
        """Return a page of messages. With the same filters, the token of a page leads to the next page."""
        request = build(
            pb.ListMessagesRequest,
            session_id=session_id,
            page_size=page_size,
            page_token=page_token,
            **encode_message_filters(filters),
        )
        response = await self._transport.call("ListMessages", request, timeout_seconds=timeout_seconds)
        return message_page(response)

    async def truncate_messages(
        self,
        session_id: str,
        *,
        keep_through_sequence: int,
        user_id: str | None = None,
        expected_last_sequence: int | None = None,
        timeout_seconds: float | None = None,
    ) -> TruncateMessagesResult:
        """Remove the messages after a sequence permanently. Their sequences are not used again.

        Args:
            session_id: The session.
            keep_through_sequence: The last sequence to keep; 0 removes all messages.
            user_id: The user that the call acts for.
            expected_last_sequence: The last sequence that the session must have; otherwise the call raises
                ``SequenceMismatchError``. It protects messages that another caller appends meanwhile.
            timeout_seconds: How long the call may take, with all its retries.
        """
        request = build(
            pb.TruncateMessagesRequest,
            session_id=session_id,
            user_id=checked_user_id(user_id),
            keep_through_sequence=keep_through_sequence,
            expected_last_sequence=expected_last_sequence,
        )
        repeatable = expected_last_sequence is not None
        response = await self._transport.call(
            "TruncateMessages", request, repeatable=repeatable, timeout_seconds=timeout_seconds
        )
        return truncate_messages_result(response)
