"""The recorded conversations, and their messages."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sessionhistory.v1 import message_pb2 as mpb

RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "conversations.jsonl.gz"
CONVERSATIONS = 558
MESSAGES = 12_395

_ROLES = {
    "system": mpb.ROLE_SYSTEM,
    "user": mpb.ROLE_USER,
    "assistant": mpb.ROLE_ASSISTANT,
    "tool": mpb.ROLE_TOOL,
}


def recordings_path() -> Path:
    """Return the folder of the recordings. Without them skip the test, or fail it if they are required."""
    path = Path(os.environ.get("SESSION_HISTORY_RECORDINGS") or RECORDINGS)
    if not path.is_file():
        absent = f"the recorded conversations are not here ({path})"
        if os.environ.get("SESSION_HISTORY_REQUIRE_RECORDINGS") == "1":
            pytest.fail(absent)
        pytest.skip(absent)
    return path


def read_recordings() -> list[dict[str, Any]]:
    """Return all recorded conversations, in the file's order."""
    with gzip.open(recordings_path(), "rt", encoding="utf-8", newline="\n") as lines:
        return [json.loads(line) for line in lines]


def recorded_message(recording: dict[str, Any], recorded: dict[str, Any]) -> mpb.Message:
    """Return a message of a recording as a caller sends it, without an id."""
    message = mpb.Message(
        role=_ROLES[recorded["role"]],
        name=recorded["name"],
        content=recorded["content"],
        tool_calls=[mpb.ToolCall(**call) for call in recorded["tool_calls"] or ()],
        tool_call_id=recorded["tool_call_id"],
        model=recording["model"] if recorded["role"] == "assistant" else None,
    )
    if usage := recorded["usage"]:
        message.usage.input_tokens = usage["prompt_tokens"]
        message.usage.output_tokens = usage["completion_tokens"]
    if recorded["created_at"]:
        message.send_time.CopyFrom(_time(recorded["created_at"]))
    return message


def _time(text: str) -> Timestamp:
    """Return a recorded time; a time without a zone is taken as UTC."""
    time = datetime.fromisoformat(text)
    result = Timestamp()
    result.FromDatetime(time if time.tzinfo else time.replace(tzinfo=UTC))
    return result
