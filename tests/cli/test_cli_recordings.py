"""`session-history import` of the recorded conversations: once, twice, and after a kill."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from sessionhistory import AsyncSessionHistoryClient, Message, ToolCall, Usage
from support.databases import execute
from support.processes import COMMAND, environment, run
from support.recordings import CONVERSATIONS, MESSAGES, recordings_path
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.service import Service

_AT_ONCE = 8


@pytest.fixture
def recordings() -> Path:
    """The file of the recorded conversations."""
    return recordings_path()


async def _import(service: Service, path: Path) -> dict[str, Any]:
    """Run the command to its end, with success; return its report."""
    done = await asyncio.to_thread(
        run, "import", path, "--json", variables={"SESSION_HISTORY_SERVER": service.address}
    )
    assert (done.returncode, done.stderr) == (0, "")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _report(**changes: int) -> dict[str, Any]:
    counts = dict.fromkeys(("imported", "completed", "already_there", "skipped", "stored_messages"), 0)
    return counts | {"not_stored": {}, "skips": [], "finished": True} | changes


def _dump(url: str) -> list[tuple[object, ...]]:
    tables = "select 's', s::text from sessions s union all select 'm', m::text from messages m"
    return execute(url, f"select * from ({tables}) as rows order by 1, 2")


async def test_all_that_was_recorded_arrives_and_stays(
    service: Service,
    database_url: str,
    recordings: Path,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every conversation and message is stored as recorded; a second import changes no row."""
    began = time.monotonic()
    assert await _import(service, recordings) == _report(imported=CONVERSATIONS, stored_messages=MESSAGES)
    seconds = round(time.monotonic() - began, 1)
    record_property("import_seconds", seconds)
    with capsys.disabled():
        print(f"\nimported the recordings in {seconds} seconds")  # noqa: T201 - a measurement, which pytest would hide
    await _compare(service, recordings)
    before = _dump(database_url)
    assert len(before) == CONVERSATIONS + MESSAGES
    assert await _import(service, recordings) == _report(already_there=CONVERSATIONS)
    assert _dump(database_url) == before


async def test_a_killed_import_is_finished_by_the_next(
    service: Service, database_url: str, recordings: Path
) -> None:
    """A SIGKILL during an import loses nothing, and the next import doubles nothing."""
    variables = environment(SESSION_HISTORY_SERVER=service.address)
    with subprocess.Popen(  # noqa: ASYNC220 - the test watches and kills it
        [COMMAND, "import", recordings], env=variables, stdout=subprocess.DEVNULL
    ) as process:
        await until(lambda: execute(database_url, "select count(*) > 1000 from messages") == [(True,)])
        process.kill()
    assert process.returncode < 0, "the import ended before the kill"
    report = await _import(service, recordings)
    assert 0 < report["stored_messages"] < MESSAGES - 1_000
    assert 0 < report["already_there"] < CONVERSATIONS
    assert report["already_there"] + report["completed"] + report["imported"] == CONVERSATIONS
    # The import has already compared the earlier messages with the file.
    expected = {recording["conversation_id"]: len(recording["messages"]) for recording in _read(recordings)}
    async with AsyncSessionHistoryClient(service.address) as client:
        stored = {s.session_id: s.message_count async for s in client.list_sessions(page_size=1_000)}
    assert stored == expected


def _read(recordings: Path) -> list[dict[str, Any]]:
    with gzip.open(recordings, "rt", encoding="utf-8", newline="\n") as lines:
        return [json.loads(line) for line in lines]


async def _compare(service: Service, recordings: Path) -> None:
    """Compare all stored messages with the file."""
    waiting = iter(_read(recordings))
    async with AsyncSessionHistoryClient(service.address) as client, asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(_compare_some(client, waiting))


async def _compare_some(client: AsyncSessionHistoryClient, waiting: Any) -> None:
    for recording in waiting:
        session = await client.get_session(recording["conversation_id"], user_id=recording["user_id"])
        assert (session.model, session.labels) == (recording["model"], {"source": recording["source"]})
        assert recording["title"] in (None, session.title)
        stored = [m async for m in client.list_messages(session.session_id, page_size=200)]
        expected = recording["messages"]
        assert session.message_count == len(stored) == len(expected)
        for place, (message, recorded) in enumerate(zip(stored, expected, strict=True), start=1):
            assert message.sequence == place
            assert _fields(message) == _recorded_fields(recorded)


def _fields(message: Message) -> dict[str, Any]:
    return {
        "role": message.role,
        "content": message.content,
        "name": message.name or None,
        "tool_calls": [_recorded_call(call) for call in message.tool_calls] or None,
        "tool_call_id": message.tool_call_id or None,
        "usage": message.usage,
        "created_at": message.send_time,
    }


def _recorded_call(call: ToolCall) -> dict[str, str]:
    return {"id": call.id, "name": call.name, "arguments": call.arguments}


def _recorded_fields(recorded: dict[str, Any]) -> dict[str, Any]:
    usage, created_at = recorded["usage"], recorded["created_at"]
    time = datetime.fromisoformat(created_at) if created_at else None
    return recorded | {
        "tool_calls": recorded["tool_calls"] or None,
        "usage": usage
        and Usage(input_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"]),
        "created_at": time and (time if time.tzinfo else time.replace(tzinfo=UTC)),
    }
