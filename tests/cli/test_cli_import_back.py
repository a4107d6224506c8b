"""`session-history import` of what the commands print: every field returns to its place."""

from __future__ import annotations

import base64
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cli_import_support import HELLO, conversation, report, stored

from client.client_samples import JSON, MESSAGE, SESSION, sent, set_of
from sessionhistory import (
    JsonPart,
    MediaPart,
    Message,
    MessageStatus,
    ReasoningPart,
    Role,
    SessionFields,
    SessionStatus,
    TextPart,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client

    Command = Callable[..., Awaitable[Result]]
    Write = Callable[..., Path]

_OF_SERVER = "the server sets it"
_WHOLE = ("--max-messages=9", "--token-budget=99", "--unanswered-calls=keep")
_MESSAGES = (
    Message(role=Role.SYSTEM, content="", message_id="m:0", pinned=True, token_count=0),
    replace(MESSAGE, token_count=7),
    Message(role=Role.DEVELOPER, message_id="m:2", usage=Usage(output_tokens=0)),
)


async def _full_session(client: Client, session_id: str) -> None:
    """Store a session that has a value in every field."""
    active = replace(SESSION, status=SessionStatus.ACTIVE)
    await client.create_session(session_id, active, user_id="ada")
    await client.append_messages(session_id, _MESSAGES)
    await client.update_session(session_id, status=SESSION.status)


async def test_a_window_with_its_session(command: Command, write: Write, client: Client, unique: str) -> None:
    """All fields that `history --json` prints, and that a caller sets, are stored again."""
    await _full_session(client, unique)
    printed = (await command("history", unique, "--json", *_WHOLE)).stdout
    copy = f"{unique}-copy"
    path = write(printed.replace(unique, copy))
    found = await report(command, path)
    assert (found["imported"], found["stored_messages"]) == (1, 3)
    session = await client.get_session(copy, user_id="ada")
    assert set_of(session) == set_of(SESSION)
    originals = await stored(client, unique)
    assert [*map(sent, await stored(client, copy))] == [*map(sent, originals)]
    assert set(found["not_stored"]) == {_OF_SERVER, "it describes the window"}
    assert {"session.etag", "history.messages[].sequence"} < set(found["not_stored"][_OF_SERVER])
    again = await report(command, path)
    assert (again["already_there"], again["stored_messages"]) == (1, 0)
    assert await client.get_session(copy) == session


async def test_a_window_with_a_summary(command: Command, write: Write, client: Client, unique: str) -> None:
    """The summary of a window becomes its first message."""
    told = [Message(role=Role.USER, content=f"{place}") for place in range(4)]
    await client.append_messages(unique, told, new_session=SessionFields())
    await client.compact_history(unique, Message(role=Role.SYSTEM, content="in short"), through_sequence=2)
    copy = f"{unique}-copy"
    printed = (await command("history", unique, "--json")).stdout
    assert (await report(command, write(printed.replace(unique, copy))))["imported"] == 1
    assert [message.content for message in await stored(client, copy)] == ["in short", "2", "3"]


def test_every_field_of_the_sample_is_set() -> None:
    """A new field of the contract has to be in the sample, so that the import cannot forget it."""
    for field in fields(Message):
        values = [getattr(message, field.name) for message in _MESSAGES]
        assert any(value not in (None, "", (), b"", 0, False) for value in values) or field.name in {
            "sequence",
            "create_time",
        }


async def test_names_of_the_contract(command: Command, write: Write, client: Client, unique: str) -> None:
    """A line may have the names and values that protobuf's JSON has."""
    message = {
        "messageId": "m:1",
        "sequence": "7",
        "role": "ROLE_ASSISTANT",
        "toolCalls": [{"id": "c", "name": "f", "arguments": "{"}],
        "toolCallId": "t",
        "parts": [
            {"text": "a"},
            {"media": {"mimeType": "image/png", "data": "AAE="}},
            {"media": {"uri": "https://example.org"}},
            {"json": '{"a": [1]}'},
            {"reasoning": {"text": "t", "opaque": "o", "signature": "s"}},
        ],
        "payload": base64.b64encode(b"\0\1").decode(),
        "payloadType": "p",
        "metadata": '{"a": 1}',
        "model": "m",
        "provider": "p",
        "usage": {"inputTokens": 1, "outputTokens": 2, "cacheReadTokens": 3, "cacheWriteTokens": 4},
        "tokenCount": 5,
        "status": "MESSAGE_STATUS_INTERRUPTED",
        "turnId": "turn",
        "createTime": "2025-06-01T12:00:00Z",
        "sendTime": "2025-06-01T12:00:00.123456789Z",
        "finishReason": "stop",
    }
    line = {
        "sessionId": unique,
        "applicationId": "app",
        "status": "SESSION_STATUS_ABANDONED",
        "labels": {"a": ""},
        "metadata": '{"b": 2}',
        "historySettings": {"maxMessages": 3, "unansweredCalls": "UNANSWERED_CALLS_OMIT"},
        "expireTime": "2020-01-01T00:00:00Z",
        "messages": [message, {"role": "ROLE_USER", "pinned": True}],
    }
    found = await report(command, write(line))
    assert found["not_stored"] == {
        _OF_SERVER: {"messages[].sequence": 1, "messages[].createTime": 1},
        "times are stored to the microsecond": {"messages[].sendTime": 1},
        "the time has passed": {"expireTime": 1},
    }
    session = await client.get_session(unique)
    assert (session.application_id, session.labels, session.metadata) == ("app", {"a": ""}, {"b": 2})
    assert (session.status, session.expire_time) == (SessionStatus.ABANDONED, None)
    assert session.history_settings
    assert (session.history_settings.max_messages, session.history_settings.unanswered_calls) == (3, "omit")
    first, second = await stored(client, unique)
    assert (second.message_id, second.pinned, first.message_id) == ("import-2", True, "m:1")
    assert (first.role, first.tool_calls[0].arguments, first.tool_call_id) == (Role.ASSISTANT, "{", "t")
    assert first.parts == (
        TextPart("a"),
        MediaPart(mime_type="image/png", data=b"\0\1"),
        MediaPart(uri="https://example.org"),
        JsonPart({"a": [1]}),
        ReasoningPart("t", opaque="o", signature="s"),
    )
    assert (first.payload, first.payload_type, first.metadata) == (b"\0\1", "p", {"a": 1})
    assert (first.model, first.provider, first.token_count, first.turn_id) == ("m", "p", 5, "turn")
    assert first.usage == Usage(input_tokens=1, output_tokens=2, cache_read_tokens=3, cache_write_tokens=4)
    assert (first.status, first.finish_reason) == (MessageStatus.INTERRUPTED, "stop")
    assert first.send_time == datetime(2025, 6, 1, 12, 0, 0, 123_456, UTC)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"payload": "*"}, "payload: must be in base64"),
        ({"metadata": "[1]"}, "metadata: must be an object"),
        ({"metadata": "{"}, "metadata: must be JSON"),
        ({"pinned": 1}, "pinned: must be true or false"),
        ({"token_count": True}, "token_count: must be an integer"),
        ({"status": "done"}, "status: must be one of complete, interrupted"),
        ({"parts": [{}]}, "parts[0].text: is missing"),
        ({"parts": [{"json": "{"}]}, "parts[0].json: must be JSON"),
        ({"parts": [{"media": {"data": "*"}}]}, "parts[0].media.data: must be in base64"),
        ({"created_at": 1e300}, "created_at: must be seconds since 1970"),
        ({"metadata": {"a": "x" * 2**20}}, "content: too large"),
    ],
)
async def test_wrong_values(
    command: Command, write: Write, unique: str, message: dict[str, Any], reason: str
) -> None:
    """A wrong value of a field of the contract is named, and not quoted."""
    (skip,) = (await report(command, write(conversation(unique, HELLO | message))))["skips"]
    assert skip["reason"].startswith(f"messages[0].{reason}")


async def test_a_session_that_was_opened_again_stays_open(
    command: Command, write: Write, client: Client, unique: str
) -> None:
    """An import sets the status of a session only if the session has not changed since its creation."""
    path = write(conversation(unique, status="completed"))
    await report(command, path)
    await client.update_session(unique, status=SessionStatus.ACTIVE)
    assert (await report(command, path))["already_there"] == 1
    assert (await client.get_session(unique)).status is SessionStatus.ACTIVE


async def test_a_status_that_a_kill_left_out(
    command: Command, write: Write, client: Client, unique: str
) -> None:
    """If a run ended between the messages and the status, the next run sets the status."""
    await client.create_session(unique, SessionFields(metadata=JSON))
    await client.append_message(unique, Message(role=Role.USER, content="hello", message_id="import-1"))
    assert (await report(command, write(conversation(unique, status="completed"))))["already_there"] == 1
    assert (await client.get_session(unique)).status is SessionStatus.COMPLETED
