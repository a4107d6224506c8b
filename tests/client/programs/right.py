"""A user's program that a strict type checker accepts, and whose types it knows completely."""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

import grpc

from sessionhistory import (
    AppendMessageResult,
    AppendMessagesResult,
    AsyncMessageStream,
    AsyncSessionHistoryClient,
    CompactHistoryResult,
    CreateSessionResult,
    EnsureActiveSessionResult,
    ForkSessionResult,
    History,
    HistoryCut,
    HistoryOptions,
    HistorySettings,
    HistorySummary,
    JsonPart,
    MediaPart,
    Message,
    MessageOrder,
    MessagePage,
    MessageStatus,
    MessageStream,
    OnBreak,
    ReasoningPart,
    RecountTokensResult,
    ResetSessionResult,
    Role,
    Session,
    SessionFields,
    SessionHistoryClient,
    SessionHistoryError,
    SessionOrder,
    SessionPage,
    SessionParent,
    SessionStatus,
    TextPart,
    ToolCall,
    TruncateMessagesResult,
    UnansweredCalls,
    Usage,
)
from sessionhistory.errors import FieldViolation, InvalidFieldError, SequenceMismatchError
from sessionhistory.types import JsonObject, Part, SessionFilters

MESSAGE = Message(
    role=Role.ASSISTANT,
    content=None,
    tool_calls=(ToolCall(name="weather", arguments="{}"),),
    parts=(TextPart("hello"), MediaPart(data=b""), JsonPart([1, None]), ReasoningPart("so", signature="x")),
    metadata={"any": ["thing"]},
    usage=Usage(input_tokens=1),
    finish_reason="tool_calls",
    send_time=datetime.now(UTC),
)


def token() -> dict[str, str]:
    """Return metadata for a call."""
    return {"authorization": "Bearer x"}


def in_threads() -> None:
    """Use every method of the client for threads."""
    with SessionHistoryClient("127.0.0.1:50051", metadata=token, timeout_seconds=5) as client:
        assert_type(client, SessionHistoryClient)
        fields = SessionFields(application_id="shop", ttl=timedelta(1))
        created = client.create_session("s", fields, user_id="ada", allow_existing=True)
        assert_type(created, CreateSessionResult)
        session_id = created.session.session_id
        assert_type(client.get_session(session_id, user_id="ada"), Session)
        assert_type(client.update_session(session_id, title="t", metadata=None, etag="e"), Session)
        assert_type(client.get_active_session("ada", application_id="shop"), Session)
        ensured = client.ensure_active_session("ada", fields, new_session_id="s")
        assert_type(ensured, EnsureActiveSessionResult)
        assert_type(client.update_state(session_id, {"step": None}, expected_state_version=1), Session)
        assert_type(client.list_sessions(statuses=[SessionStatus.ACTIVE]), Iterator[Session])
        assert_type(client.list_sessions_page(order_by=SessionOrder.CREATE_TIME_ASC), SessionPage)
        limits = HistoryOptions(max_messages=2, step_messages=1, whole_responses=True)
        appended = client.append_message(session_id, MESSAGE, history=limits)
        assert_type(appended, AppendMessageResult)
        assert_type(appended.history, History | None)
        with client.append_message_stream(session_id, MESSAGE, on_break=OnBreak.DROP) as stream:
            assert_type(stream, MessageStream)
            stream.write("hello")
            stream.write_arguments(stream.call_tool("weather", id="c"), "{}")
            assert_type(stream.finish(finish_reason="stop"), AppendMessageResult)
        several = client.append_messages(None, [MESSAGE], new_session=fields, keep_through_sequence=0)
        assert_type(several, AppendMessagesResult)
        assert_type(client.get_message(session_id, sequence=1), Message)
        assert_type(client.list_messages(session_id, roles={Role.USER}), Iterator[Message])
        assert_type(client.list_messages_page(session_id, page_token=""), MessagePage)
        whole = UnansweredCalls.OMIT
        window = client.get_history(session_id, token_budget=100, step_tokens=25, unanswered_calls=whole)
        assert_type(window, History)
        forked = client.fork_session(session_id, fields, new_session_id="f", through_sequence=1)
        assert_type(forked, ForkSessionResult)
        reset = client.reset_session(session_id, new_session_id="r", new_user_id="bob", keep_messages=True)
        assert_type(reset.session.parent, SessionParent | None)
        assert_type(client.truncate_messages(session_id, keep_through_sequence=1), TruncateMessagesResult)
        compacted = client.compact_history(session_id, MESSAGE, through_sequence=1)
        assert_type(compacted, CompactHistoryResult)
        assert_type(compacted.summary, HistorySummary)
        assert_type(client.delete_session(session_id, purge=True), Session | None)
        assert_type(client.undelete_session(session_id, timeout_seconds=1), Session)
        assert_type(client.recount_tokens(session_id), RecountTokensResult)


async def fetch() -> str:
    """Return a token."""
    return ""


async def in_asyncio(credentials: grpc.ChannelCredentials) -> None:
    """Use every method of the client for asyncio."""
    options = [("grpc.keepalive_time_ms", 60_000)]
    AsyncSessionHistoryClient(key=str)
    AsyncSessionHistoryClient(key=fetch)
    SessionHistoryClient(key=str)
    async with AsyncSessionHistoryClient(credentials=credentials, metadata={}, options=options) as client:
        assert_type(client, AsyncSessionHistoryClient)
        created = await client.create_session(
            session=SessionFields(history_settings=HistorySettings(max_messages=2, step_messages=1))
        )
        assert_type(created, CreateSessionResult)
        session_id = created.session.session_id
        assert_type(await client.get_session(session_id), Session)
        assert_type(await client.update_session(session_id, status=SessionStatus.COMPLETED), Session)
        assert_type(await client.get_active_session("ada"), Session)
        assert_type(await client.ensure_active_session("ada"), EnsureActiveSessionResult)
        assert_type(await client.update_state(session_id, {}), Session)
        filters: SessionFilters = {"labels": {"app": "travel"}, "last_activity_time_after": datetime.now(UTC)}
        assert_type(client.list_sessions(page_size=10, **filters), AsyncIterator[Session])
        assert_type(await client.list_sessions_page(**filters), SessionPage)
        appended = await client.append_message(session_id, MESSAGE, state_patch={"step": "pay"})
        assert_type(appended, AppendMessageResult)
        assert_type(appended.state_version, int | None)
        async with client.append_message_stream(session_id) as stream:
            assert_type(stream, AsyncMessageStream)
            await stream.write("hello")
            await stream.add_part(TextPart("hello"))
            assert_type(await stream.call_tool("weather"), int)
        assert_type(stream.result, AppendMessageResult | None)
        assert_type(await client.append_messages(session_id, iter([MESSAGE])), AppendMessagesResult)
        assert_type(await client.get_message(session_id, message_id="m"), Message)
        assert_type(
            client.list_messages(session_id, order_by=MessageOrder.SEQUENCE_DESC), AsyncIterator[Message]
        )
        assert_type(await client.list_messages_page(session_id), MessagePage)
        assert_type(await client.get_history(session_id, step_messages=1, whole_responses=False), History)
        assert_type(await client.fork_session(session_id, SessionFields(title="t")), ForkSessionResult)
        assert_type(await client.reset_session(session_id), ResetSessionResult)
        assert_type(
            await client.truncate_messages(session_id, keep_through_sequence=0), TruncateMessagesResult
        )
        compacted = await client.compact_history(session_id, MESSAGE, through_sequence=1)
        assert_type(compacted, CompactHistoryResult)
        assert_type(await client.delete_session(session_id), Session | None)
        assert_type(await client.undelete_session(session_id), Session)
        assert_type(await client.recount_tokens(session_id, user_id="u"), RecountTokensResult)
        async for message in client.list_messages(session_id):
            assert_type(message, Message)
        assert_type(await client.close(), None)


def read(message: Message, session: Session, history: History) -> None:
    """Use the values' types."""
    assert_type(message.role, Role)
    assert_type(message.status, MessageStatus)
    assert_type(message.content, str | None)
    assert_type(message.metadata, JsonObject | None)
    assert_type(message.parts, tuple[Part, ...])
    assert_type(message.create_time, datetime | None)
    assert_type(session.labels, Mapping[str, str])
    assert_type(session.message_count, int)
    assert_type(session.last_activity_time, datetime)
    assert_type(session.end_time, datetime | None)
    assert_type(history.messages, tuple[Message, ...])
    assert_type(history.cut, HistoryCut)
    assert_type(history.next_before_sequence, int | None)
    assert_type(history.tokens_until_move, int | None)
    assert_type(history.messages_until_move, int | None)
    if session.history_settings:
        assert_type(session.history_settings.step_tokens, int | None)
        assert_type(session.history_settings.unanswered_calls, UnansweredCalls | None)
        assert_type(session.history_settings.whole_responses, bool | None)
    assert_type(message.role == "user", bool)
    for part in message.parts:
        match part:
            case TextPart(text):
                assert_type(text, str)
            case MediaPart(uri=uri, data=data):
                assert_type(uri, str | None)
                assert_type(data, bytes | None)
            case JsonPart(value):
                assert_type(value, Any)
            case ReasoningPart(text, opaque=opaque):
                assert_type(text, str)
                assert_type(opaque, str)


def catch(client: SessionHistoryClient) -> int:
    """Use the errors' types."""
    try:
        client.append_message("s", MESSAGE, expected_last_sequence=1)
    except SequenceMismatchError as error:
        return int(error.metadata["actual_last_sequence"])
    except InvalidFieldError as error:
        assert_type(error.violations, tuple[FieldViolation, ...])
        assert_type(error.violations[0].field, str)
    except SessionHistoryError as error:
        assert_type(error.code, grpc.StatusCode)
        assert_type(error.retry_delay_seconds, float | None)
        assert_type(error.request_id, str)
    return 0
