"""Convert the responses of the server to the results of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory import types
from sessionhistory._codec.fields import optional
from sessionhistory._codec.history import decode_history, decode_history_summary
from sessionhistory._codec.message import decode_message
from sessionhistory._codec.session import decode_session

if TYPE_CHECKING:
    from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
    from sessionhistory.v1 import session_history_service_pb2 as pb


def append_message_result(
    response: pb.AppendMessageResponse | stream_pb.AppendMessageStreamResponse,
    *,
    state_version: int | None = None,
) -> types.AppendMessageResult:
    """Return the stored message, the counters, and the window if the caller asked for one."""
    return types.AppendMessageResult(
        session_id=response.session_id,
        message=decode_message(response.message),
        last_sequence=response.last_sequence,
        message_count=response.message_count,
        total_tokens=response.total_tokens,
        session_created=response.session_created,
        history=decode_history(response.history) if response.HasField("history") else None,
        state_version=state_version,
    )


def append_messages_result(response: pb.AppendMessagesResponse) -> types.AppendMessagesResult:
    """Return the stored messages and the counters."""
    return types.AppendMessagesResult(
        session_id=response.session_id,
        messages=tuple(map(decode_message, response.messages)),
        last_sequence=response.last_sequence,
        message_count=response.message_count,
        total_tokens=response.total_tokens,
        session_created=response.session_created,
        state_version=optional(response, "state_version"),
    )


def truncate_messages_result(response: pb.TruncateMessagesResponse) -> types.TruncateMessagesResult:
    """Return the number of removed messages, and the counters."""
    return types.TruncateMessagesResult(
        removed_message_count=response.removed_message_count,
        last_sequence=response.last_sequence,
        message_count=response.message_count,
        total_tokens=response.total_tokens,
    )


def compact_history_result(response: pb.CompactHistoryResponse) -> types.CompactHistoryResult:
    """Return the summary, and the totals of the messages that it covers."""
    return types.CompactHistoryResult(
        message=decode_message(response.message), summary=decode_history_summary(response.summary)
    )


def reset_session_result(response: pb.ResetSessionResponse) -> types.ResetSessionResult:
    """Return the new session and the one that it replaces."""
    return types.ResetSessionResult(
        session=decode_session(response.session),
        previous_session=decode_session(response.previous_session),
    )


def recount_tokens_result(response: pb.RecountTokensResponse) -> types.RecountTokensResult:
    """Return the session with its new numbers."""
    return types.RecountTokensResult(
        session=decode_session(response.session), changed_message_count=response.changed_message_count
    )


def session_page(response: pb.ListSessionsResponse) -> types.SessionPage:
    """Return a page of sessions."""
    return types.SessionPage(
        sessions=tuple(map(decode_session, response.sessions)), next_page_token=response.next_page_token
    )


def message_page(response: pb.ListMessagesResponse) -> types.MessagePage:
    """Return a page of messages."""
    return types.MessagePage(
        messages=tuple(map(decode_message, response.messages)), next_page_token=response.next_page_token
    )
