"""Messages come back from the service as they were sent."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from client_samples import MESSAGE, fresh_id, sent

from sessionhistory import (
    HistoryOptions,
    JsonPart,
    MediaPart,
    Message,
    ReasoningPart,
    Role,
    SessionFields,
    TextPart,
    ToolCall,
    Usage,
)
from sessionhistory.v1 import message_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

MESSAGES: list[dict[str, Any]] = [
    {"content": None},
    {"content": ""},
    {"content": None, "parts": (TextPart("alone"),)},
    {"metadata": None},
    {"metadata": {}},
    {"parts": (JsonPart({}), JsonPart(0), JsonPart(value=False), JsonPart(""))},
    {"parts": (MediaPart(mime_type="a/b", uri="x"),)},
    {"parts": (ReasoningPart("thought"), ReasoningPart(opaque="o"))},
    {"parts": (ReasoningPart(" t\n", opaque="o", signature="s"),)},
    {"finish_reason": "length"},
    {"usage": None},
    {"usage": Usage(output_tokens=0)},
    {"usage": Usage(input_tokens=0, cache_write_tokens=2**31 - 1)},
    {"token_count": 0},
    {"pinned": True},
    {"payload": b"\0"},
    {"tool_calls": (ToolCall(name="f", arguments=""),)},
    *({"role": role} for role in Role if role is not Role.UNKNOWN),
    {"send_time": datetime(1678, 1, 1, tzinfo=UTC)},
    {"send_time": datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)},
    {"send_time": datetime(2261, 12, 31, 23, 59, 59, 999_999, UTC)},
    {"send_time": datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=14)))},
    {"send_time": datetime(2026, 1, 1, 0, 30, 0, 1, tzinfo=timezone(-timedelta(hours=9, minutes=30)))},
    {"send_time": datetime(1893, 1, 1, tzinfo=timezone(timedelta(minutes=34, seconds=8)))},
]


def test_the_sample_is_whole() -> None:
    """The sample has every field that a caller can set, none at its default, except ``pinned``."""
    bare = sent(Message(role=Role.USER))
    assert {name for name, value in sent(MESSAGE).items() if value == bare[name]} == {"pinned"}


async def test_a_whole_message(client: Client) -> None:
    """Every method that returns messages returns every field, with the server's fields."""
    session_id = fresh_id()
    options = HistoryOptions(token_budget=2**31 - 1)
    before = datetime.now(UTC)
    result = await client.append_message(session_id, MESSAGE, new_session=SessionFields(), history=options)
    assert sent(result.message) == sent(MESSAGE)
    assert result.message.sequence == 1
    assert result.message.create_time
    assert before - timedelta(minutes=1) < result.message.create_time
    assert result.history
    found = [
        *result.history.messages,
        await client.get_message(session_id, message_id="m:1"),
        await client.get_message(session_id, sequence=1),
        *(await client.get_history(session_id, token_budget=2**31 - 1)).messages,
        *(await client.list_messages_page(session_id)).messages,
        *[message async for message in client.list_messages(session_id)],
        (await client.append_message(session_id, MESSAGE)).message,
        *(await client.append_messages(session_id, [MESSAGE])).messages,
    ]
    assert found == [result.message] * 8


@pytest.mark.parametrize("fields", MESSAGES, ids=str)
async def test_a_message(client: Client, fields: dict[str, Any]) -> None:
    """Absent and empty values stay different, values keep their type, and times their instant."""
    message = Message(**{"role": Role.USER, "content": "x", "token_count": 3} | fields)
    session_id = fresh_id()
    stored = (await client.append_message(session_id, message, new_session=SessionFields())).message
    assert sent(stored) == sent(message)
    assert repr(stored.metadata) == repr(message.metadata)
    assert repr(stored.parts) == repr(message.parts)
    assert stored.send_time is None or stored.send_time.tzinfo is UTC


async def test_a_message_is_counted_where_it_says_nothing(client: Client) -> None:
    """A message without a token count gets the server's."""
    message = Message(role=Role.USER, content="x" * 9)
    result = await client.append_message(fresh_id(), message, new_session=SessionFields())
    assert result.message.token_count == 3


async def test_the_fields_of_the_server_are_not_sent(client: Client) -> None:
    """A message that was read can be appended to another session; the server's fields are not sent."""
    read = dataclasses.replace(MESSAGE, sequence=9, create_time=datetime(2000, 1, 1, tzinfo=UTC))
    result = await client.append_message(fresh_id(), read, new_session=SessionFields())
    assert sent(result.message) == sent(read)
    assert result.message.sequence == 1
    assert result.message.create_time
    assert result.message.create_time.year > 2000


async def test_nanoseconds_are_left_to_others(client: Client, shared: Service) -> None:
    """A time that another client has stored to the nanosecond is read to the microsecond."""
    session_id = fresh_id()
    message = message_pb2.Message(role=message_pb2.ROLE_USER, send_time={"seconds": -1, "nanos": 999_999_999})
    request = pb.AppendMessageRequest(session_id=session_id, message=message, new_session={})
    await shared.stub.AppendMessage(request)
    read = await client.get_message(session_id, sequence=1)
    assert read.send_time == datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)


async def test_an_integer_longer_than_python_reads(client: Client, shared: Service) -> None:
    """An integer that Python cannot convert from text is read as a Decimal."""
    session_id = fresh_id()
    digits = "7" * 5_000
    message = message_pb2.Message(
        role=message_pb2.ROLE_USER, metadata=f'{{"n": {digits}}}', parts=[{"json": f"-{digits}"}]
    )
    request = pb.AppendMessageRequest(session_id=session_id, message=message, new_session={})
    await shared.stub.AppendMessage(request)
    read = await client.get_message(session_id, sequence=1)
    (part,) = read.parts
    assert isinstance(part, JsonPart)
    assert read.metadata
    assert (str(read.metadata["n"]), str(part.value)) == (digits, f"-{digits}")
