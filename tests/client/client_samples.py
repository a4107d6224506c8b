"""A message, a session and options of a history with every field that a caller can set."""

from __future__ import annotations

import dataclasses
import secrets
from datetime import UTC, datetime
from typing import Any

from sessionhistory import (
    HistoryOptions,
    HistorySettings,
    JsonPart,
    MediaPart,
    Message,
    MessageStatus,
    ReasoningPart,
    Role,
    Session,
    SessionFields,
    SessionStatus,
    TextPart,
    ToolCall,
    UnansweredCalls,
    Usage,
)

JSON: dict[str, Any] = {
    "big": 2**53 + 1,
    "bigger": -(10**400),
    "number": -0.1e-300,
    "whole": 1.0,
    "none": None,
    "list": [True, [], {}, ""],
    "Zürich": '"\\/\b\t\n\u2028\ufeff日本語👩‍👩‍👧',
}
MESSAGE = Message(
    role=Role.ASSISTANT,
    content="Zürich 日本語 👩‍👩‍👧\r\n",
    message_id="m:1",
    name="näme",
    tool_calls=(ToolCall(id="c", name="f", arguments='{"a": 1.0 '), ToolCall(name="g")),
    tool_call_id="call",
    parts=(
        TextPart("text"),
        TextPart(""),
        MediaPart(mime_type="image/png", data=b"\0\xff"),
        MediaPart(data=b""),
        MediaPart(uri="https://example.org/ä"),
        JsonPart(JSON),
        JsonPart(None),
        JsonPart([1, "two"]),
        ReasoningPart("Zürich\r\n", opaque="o+/=", signature=" s\t"),
        ReasoningPart(opaque="o"),
    ),
    payload=bytes(range(256)),
    payload_type="application/x",
    metadata=JSON,
    model="model",
    provider="provider",
    usage=Usage(input_tokens=1, output_tokens=2, cache_read_tokens=3, cache_write_tokens=4),
    token_count=2**31 - 1,
    status=MessageStatus.INTERRUPTED,
    turn_id="turn",
    send_time=datetime(2026, 3, 29, 2, 30, 0, 123_456, UTC),
    finish_reason="tool_üse",
)
SETTINGS = HistorySettings(
    max_messages=0,
    token_budget=7,
    step_tokens=0,
    step_messages=2**31 - 1,
    unanswered_calls=UnansweredCalls.OMIT,
    whole_responses=False,
)
OPTIONS = HistoryOptions(
    max_messages=5,
    token_budget=0,
    include_pinned=False,
    max_turns=0,
    step_tokens=2**31 - 1,
    step_messages=0,
    unanswered_calls=UnansweredCalls.KEEP,
    whole_responses=True,
)
SESSION = SessionFields(
    application_id="äpp",
    title="Zürich 日本語",
    model="model",
    status=SessionStatus.COMPLETED,
    labels={"app": "travel", "a/b": ""},
    metadata=JSON,
    state=JSON,
    history_settings=SETTINGS,
    expire_time=datetime(2999, 12, 31, 23, 59, 59, 999_999, UTC),
)

MESSAGE_OF_SERVER = {"sequence", "create_time"}


def fresh_id() -> str:
    """Return an id that no other test uses."""
    return secrets.token_hex(16)


def sent(message: Message) -> dict[str, Any]:
    """Return the fields of a message that a caller sets."""
    names = {field.name for field in dataclasses.fields(message)}
    return {name: getattr(message, name) for name in names - MESSAGE_OF_SERVER}


def set_of(session: SessionFields | Session) -> dict[str, Any]:
    """Return the fields of a session that a caller sets; ``ttl`` is returned as ``expire_time``."""
    names = {field.name for field in dataclasses.fields(SessionFields)} - {"ttl"}
    return {name: getattr(session, name) for name in names}
