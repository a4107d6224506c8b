"""From the service's messages to the client's values."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sessionhistory import types
from sessionhistory._enums import HISTORY_CUTS, MESSAGE_STATUSES, ROLES, SESSION_STATUSES
from sessionhistory._frozen import maker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
    from sessionhistory.v1 import history_pb2, message_pb2, session_pb2
    from sessionhistory.v1 import session_history_service_pb2 as pb

V = TypeVar("V")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _integer(digits: str) -> int | Decimal:
    """Return an integer, whatever somebody else has stored: Python refuses to read one of 4,300 digits."""
    try:
        return int(digits)
    except ValueError:
        return Decimal(digits)


_JSON: Final = json.JSONDecoder(parse_int=_integer)

_Message: Final = maker(types.Message)


def recount_tokens_result(response: pb.RecountTokensResponse) -> types.RecountTokensResult:
    """Return the session with its new numbers."""
    return types.RecountTokensResult(
        session=session(response.session), changed_message_count=response.changed_message_count
    )


def active_session_result(response: pb.GetActiveSessionResponse, made_id: str) -> types.CreateSessionResult:
    """Return the session; one with the id made for the call is new, whichever attempt has made it."""
    created = response.created or response.session.session_id == made_id
    return types.CreateSessionResult(session=session(response.session), created=created)


def append_message_result(response: pb.AppendMessageResponse) -> types.AppendMessageResult:
    """Return the stored message, the counters, and the window if there is one."""
    return types.AppendMessageResult(
        session_id=response.session_id,
        message=message(response.message),
        last_sequence=response.last_sequence,
        message_count=response.message_count,
        total_tokens=response.total_tokens,
        session_created=response.session_created,
        history=history(response.history) if response.HasField("history") else None,
        state_version=_present(response, "state_version"),
    )


def append_message_stream_result(
    response: stream_pb.AppendMessageStreamResponse,
) -> types.AppendMessageResult:
    """Return the stored message, the counters, and the window if there is one."""
    return types.AppendMessageResult(
        session_id=response.session_id,
        message=message(response.message),
        last_sequence=response.last_sequence,
        message_count=response.message_count,
        total_tokens=response.total_tokens,
        session_created=response.session_created,
        history=history(response.history) if response.HasField("history") else None,
        state_version=None,
    )


def append_messages_result(response: pb.AppendMessagesResponse) -> types.AppendMessagesResult:
    """Return the stored messages and the counters."""
    return types.AppendMessagesResult(
        session_id=response.session_id,
        messages=tuple(map(message, response.messages)),
        last_sequence=response.last_sequence,
        message_count=response.message_count,
        total_tokens=response.total_tokens,
        session_created=response.session_created,
        state_version=_present(response, "state_version"),
    )


def truncate_history_result(response: pb.TruncateHistoryResponse) -> types.TruncateHistoryResult:
    """Return how much was removed, and the counters."""
    return types.TruncateHistoryResult(
        removed_message_count=response.removed_message_count,
        last_sequence=response.last_sequence,
        message_count=response.message_count,
        total_tokens=response.total_tokens,
    )


def compact_history_result(response: pb.CompactHistoryResponse) -> types.CompactHistoryResult:
    """Return the summary and what it covers."""
    return types.CompactHistoryResult(
        message=message(response.message), summary=_history_summary(response.summary)
    )


def session_page(response: pb.ListSessionsResponse) -> types.SessionPage:
    """Return a page of sessions."""
    return types.SessionPage(
        sessions=tuple(map(session, response.sessions)), next_page_token=response.next_page_token
    )


def message_page(response: pb.ListMessagesResponse) -> types.MessagePage:
    """Return a page of messages."""
    return types.MessagePage(
        messages=tuple(map(message, response.messages)), next_page_token=response.next_page_token
    )


def history(source: history_pb2.History) -> types.History:
    """Return a window."""
    return types.History(
        messages=tuple(map(message, source.messages)),
        total_tokens=source.total_tokens,
        omitted_message_count=source.omitted_message_count,
        cut=HISTORY_CUTS.word(source.cut),
        next_before_sequence=_present(source, "next_before_sequence"),
        last_sequence=source.last_sequence,
        summary=_history_summary(source.summary) if source.HasField("summary") else None,
    )


def session(source: session_pb2.Session) -> types.Session:
    """Return a session."""
    return types.Session(
        session_id=source.session_id,
        user_id=source.user_id,
        title=source.title,
        model=source.model,
        status=SESSION_STATUSES.word(source.status),
        labels=dict(source.labels),
        metadata=_json(source.metadata),
        state=_json(source.state),
        history_settings=_history_settings(source),
        expire_time=_time(source, "expire_time"),
        message_count=source.message_count,
        total_tokens=source.total_tokens,
        last_sequence=source.last_sequence,
        create_time=_time(source, "create_time"),
        update_time=_time(source, "update_time"),
        last_message_time=_time(source, "last_message_time"),
        complete_time=_time(source, "complete_time"),
        delete_time=_time(source, "delete_time"),
        purge_time=_time(source, "purge_time"),
        etag=source.etag,
        token_counter=source.token_counter,
        state_version=source.state_version,
        parent=_parent(source),
        compacted_through_sequence=source.compacted_through_sequence,
    )


def message(source: message_pb2.Message) -> types.Message:
    """Return a message."""
    return _Message(
        role=ROLES.word(source.role),
        content=source.content or _present(source, "content"),
        message_id=source.message_id,
        name=source.name,
        tool_calls=_tuple(_tool_call, source.tool_calls),
        tool_call_id=source.tool_call_id,
        parts=_tuple(_part, source.parts),
        payload=source.payload,
        payload_type=source.payload_type,
        metadata=_json(source.metadata),
        model=source.model,
        provider=source.provider,
        usage=_usage(source),
        token_count=source.token_count or _present(source, "token_count"),
        pinned=source.pinned,
        status=MESSAGE_STATUSES.word(source.status),
        turn_id=source.turn_id,
        send_time=_time(source, "send_time"),
        sequence=source.sequence,
        create_time=_time(source, "create_time"),
    )


def _parent(source: session_pb2.Session) -> types.SessionParent | None:
    if not source.HasField("parent"):
        return None
    return types.SessionParent(session_id=source.parent.session_id, sequence=source.parent.sequence)


def _history_summary(source: history_pb2.HistorySummary) -> types.HistorySummary:
    return types.HistorySummary(
        through_sequence=source.through_sequence,
        message_count=source.message_count,
        total_tokens=source.total_tokens,
        create_time=_present_time(source.create_time),
    )


def _history_settings(source: session_pb2.Session) -> types.HistorySettings | None:
    if not source.HasField("history_settings"):
        return None
    settings = source.history_settings
    return types.HistorySettings(
        max_messages=_present(settings, "max_messages"), token_budget=_present(settings, "token_budget")
    )


def _tuple(convert: Callable[[Any], V], sources: Sequence[Any]) -> tuple[V, ...]:
    # Going through nothing is what costs: most messages have no calls and no parts.
    return tuple(map(convert, sources)) if sources else ()


def _tool_call(source: message_pb2.ToolCall) -> types.ToolCall:
    return types.ToolCall(id=source.id, name=source.name, arguments=source.arguments)


def _part(source: message_pb2.Part) -> types.Part:
    match source.WhichOneof("kind"):
        case "text":
            return types.TextPart(source.text)
        case "json":
            return types.JsonPart(_JSON.decode(source.json))
        case _:
            media = source.media
            return types.MediaPart(
                mime_type=media.mime_type, uri=_present(media, "uri"), data=_present(media, "data")
            )


def _usage(source: message_pb2.Message) -> types.Usage | None:
    if not source.HasField("usage"):
        return None
    usage = source.usage
    return types.Usage(
        input_tokens=_present(usage, "input_tokens"),
        output_tokens=_present(usage, "output_tokens"),
        cache_read_tokens=_present(usage, "cache_read_tokens"),
        cache_write_tokens=_present(usage, "cache_write_tokens"),
    )


def _present(source: Any, name: str) -> Any:  # noqa: ANN401 - a field of any message
    return getattr(source, name) if source.HasField(name) else None


def _json(text: str) -> dict[str, Any] | None:
    return _JSON.decode(text) if text else None


def _time(source: Any, name: str) -> datetime | None:  # noqa: ANN401 - a field of any message
    return _present_time(getattr(source, name)) if source.HasField(name) else None


def _present_time(stamp: Timestamp) -> datetime:
    return _EPOCH + timedelta(0, stamp.seconds, stamp.nanos // 1_000)
