"""`session-history import`: begun, grown, different, too large, cut off, from a pipe, without a server."""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
import subprocess
from typing import TYPE_CHECKING

import pytest
from cli_import_support import HELLO, conversation, report, spoken, stored

from sessionhistory import Message, Role, Session, SessionStatus
from sessionhistory.cli import _importer, _lines
from sessionhistory.errors import SessionNotFoundError
from support.processes import COMMAND, environment
from support.relay import relay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Command = Callable[..., Awaitable[Result]]
    Write = Callable[..., Path]

_TAKEN = "its id is taken, by another user's session or a deleted one"
_DIFFERS = "it differs from what is stored under its id"


@pytest.mark.parametrize("there", [0, 1, 500, 501, 1_100])
async def test_what_was_begun_is_completed(
    command: Command, write: Write, client: Client, unique: str, there: int
) -> None:
    """Whatever part of a conversation is stored, in whichever batches, the rest follows; then nothing."""
    messages = spoken(1_200)
    if there:
        await report(command, write(conversation(unique, *messages[:there])))
    else:
        await client.create_session(Session(session_id=unique))
    path = write(conversation(unique, *messages))
    found = await report(command, path)
    assert (found["completed"], found["stored_messages"]) == (1, 1_200 - there)
    assert [message.content for message in await stored(client, unique)] == [m["content"] for m in messages]
    again = await report(command, path)
    assert (again["already_there"], again["stored_messages"]) == (1, 0)


async def test_a_conversation_that_went_on_is_there(
    command: Command, write: Write, client: Client, unique: str
) -> None:
    """What was said after the import does no harm to the next, nor that the session was closed."""
    path = write(conversation(unique, *spoken(3)))
    await report(command, path)
    await client.append_message(unique, Message(role=Role.USER, content="later"))
    await client.update_session(unique, status=SessionStatus.COMPLETED, title="renamed")
    assert (await report(command, path))["already_there"] == 1
    assert (await client.get_session(unique)).message_count == 4


async def test_batches_keep_to_the_limits_of_the_service(
    command: Command, write: Write, client: Client, unique: str
) -> None:
    """Many messages, large ones, and many calls go in as many batches as it takes, in order."""
    calls = [{"name": "f", "arguments": "ü" * 1_000}] * 128
    with_calls = {"role": "user", "tool_calls": calls}
    messages = [*spoken(4, characters=1_040_000), *spoken(1_003), *[with_calls] * 13]
    path = write(conversation(unique, *messages))
    assert (await report(command, path))["stored_messages"] == len(messages)
    assert (await report(command, path))["already_there"] == 1
    assert (await client.get_session(unique)).message_count == len(messages)


async def test_what_has_an_id_already(command: Command, write: Write, client: Client, unique: str) -> None:
    """Nothing of a conversation is stored where something else is, and nothing there is changed."""
    await client.append_message(unique, Message(role=Role.USER), create_session=Session(user_id="ada"))
    for session_id, user_id in ((f"{unique}-deleted", ""), (f"{unique}-closed", "")):
        await client.create_session(Session(session_id=session_id, user_id=user_id))
    await client.delete_session(f"{unique}-deleted")
    await client.update_session(f"{unique}-closed", status=SessionStatus.ABANDONED)
    path = write(
        conversation(unique, user_id="eve"),
        conversation(unique),
        conversation(unique, user_id="ada"),
        conversation(f"{unique}-deleted"),
        conversation(f"{unique}-closed"),
        conversation(f"{unique}-twice", *spoken(2)),
        conversation(f"{unique}-twice", *spoken(2)),
        conversation(f"{unique}-twice", *spoken(1), HELLO),
        conversation(f"{unique}-twice", *spoken(2), HELLO),
    )
    found = await report(command, path)
    assert {skip["line"]: skip["reason"] for skip in found["skips"]} == {
        1: _TAKEN,
        2: _TAKEN,
        3: _DIFFERS,
        4: _TAKEN,
        5: f"session '{unique}-closed' is ABANDONED: set it ACTIVE to append",
        8: _DIFFERS,
    }
    assert (found["imported"], found["already_there"], found["completed"]) == (1, 1, 1)
    assert [(m.role, m.content) for m in await stored(client, unique)] == [(Role.USER, None)]


async def test_a_message_far_behind_that_is_refused(command: Command, write: Write, unique: str) -> None:
    """Its place is that in the file, and it is said what of its conversation is stored."""
    path = write(conversation(unique, *spoken(731), HELLO | {"name": "n" * 257}))
    (skip,) = (await report(command, path))["skips"]
    rule = "messages[731].name: must have at most 256 characters"
    assert skip["reason"] == f"{rule}; its first 500 messages are stored"
    again = await report(command, path)
    assert again["skips"] == [skip]
    assert again["stored_messages"] == 0


async def test_a_message_that_is_too_large_is_seen_before_anything_is_stored(
    command: Command, write: Write, client: Client, unique: str
) -> None:
    """Not after the batches before it."""
    found = await report(command, write(conversation(unique, *spoken(600), *spoken(1, characters=2**20))))
    assert found["skips"][0]["reason"].startswith("messages[600].content: too large")
    assert [s.session_id async for s in client.list_sessions(title_contains=unique)] == []


async def test_a_line_that_is_too_long(
    command: Command, write: Write, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not read as a whole; the lines around it are."""
    for module in (_lines, _importer):
        monkeypatch.setattr(module, "MAX_LINE_BYTES", 1_000)
    monkeypatch.setattr(_lines, "_CHUNK_BYTES", 100)
    lines = (conversation(f"{unique}-1"), " " * 1_001, conversation(f"{unique}-2"), "x" * 5_000)
    found = await report(command, write(*lines))
    assert found["imported"] == 2
    reason = "too large: a line has at most 1,000 bytes"
    assert found["skips"] == [{"line": line, "conversation_id": "", "reason": reason} for line in (2, 4)]


async def test_fields_without_a_place_are_named(command: Command, write: Write, unique: str) -> None:
    """Each by its path, with how often it has a value that is not null; names may be many, long and odd."""
    message = HELLO | {"mood": "good", "usage": {"total_tokens": 3, "prompt_tokens": 1}, "gone": None}
    path = write(conversation(unique, message, message | {"mood": None}, cost=0.5))
    counts = {"cost": 1, "messages[].mood": 1, "messages[].usage.total_tokens": 2}
    assert (await report(command, path))["unknown_fields"] == counts
    text = await command("import", path)
    for name, count in counts.items():
        assert f"{name} ({count})" in text.stdout
    many = {f"{number:03}\x1b{'x' * 100}": 1 for number in range(50)}
    found = (await report(command, write(conversation(f"{unique}-2", **many))))["unknown_fields"]
    assert (len(found), sum(found.values()), found["(others)"]) == (21, 50, 30)
    assert all(len(name) <= 80 and name.isprintable() for name in found)


async def test_what_people_are_told(command: Command, write: Write, unique: str) -> None:
    """Skips as they come, on the standard error and escaped; then the counts that are not zero."""
    path = write(conversation(unique, *spoken(2)), conversation("bad\x1b[2J id"), "{")
    result = await command("import", path)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "line 2 (bad\\x1b[2J id): skipped: session_id: must be 1 to 128 characters of A-Za-z0-9._:@/-",
        "line 3: skipped: not JSON: Expecting property name enclosed in double quotes, at column 2",
    ]
    assert [line.strip() for line in result.stdout.splitlines()] == [
        "1 imported",
        "2 skipped",
        "2 messages stored",
    ]


async def test_a_compressed_file_by_any_name(
    command: Command, write: Write, tmp_path: Path, unique: str
) -> None:
    """Whether it is compressed is seen in the file; one that is cut off is stored as far as it goes."""
    noise = [HELLO | {"content": secrets.token_hex(100)} for _ in range(300)]
    lines = write(*(conversation(f"{unique}-{place}", message) for place, message in enumerate(noise)))
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(lines.read_bytes()))
    assert (await report(command, packed))["imported"] == 300
    (tmp_path / "cut").write_bytes(packed.read_bytes()[:-5_000])
    result = await command("import", tmp_path / "cut", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["finished"]) == (1, False)
    assert 0 < found["already_there"] < 300
    assert result.stderr.startswith("Error: the file is cut off or damaged")


async def test_a_server_that_goes_away(shared: Service, client: Client, unique: str) -> None:
    """What could be stored is told, and how to go on; doing so does it."""
    lines = [json.dumps(conversation(f"{unique}-{number}")).encode() + b"\n" for number in range(2)]
    async with relay(shared.address) as address:
        process = await _import_from_a_pipe(address)
        assert process.stdin
        process.stdin.write(lines[0])
        await _is_stored(client, f"{unique}-0")
    out, err = await process.communicate(lines[1])
    assert process.returncode == 1
    assert out.decode().split() == ["1", "imported", "1", "message", "stored"]
    (line,) = err.decode().splitlines()
    assert line.startswith(f"Error: no server answers at {address}")
    assert line.endswith("; then run the same command again: it goes on where it stopped")
    process = await _import_from_a_pipe(shared.address)
    out, err = await process.communicate(b"".join(lines))
    assert (process.returncode, err) == (0, b"")
    assert out.decode().split() == ["1", "imported", "1", "already", "there", "1", "message", "stored"]


async def _import_from_a_pipe(address: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(COMMAND, "import", "-", "--timeout-seconds", "1", "--server", address),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def _is_stored(client: Client, session_id: str) -> None:
    while True:
        try:
            await client.get_session(session_id)
        except SessionNotFoundError:
            await asyncio.sleep(0.01)
        else:
            return
