"""`session-history import`: begun, grown, different, too large, or nothing new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_import_support import HELLO, conversation, report, spoken, stored

from sessionhistory import Message, Role, Session, SessionStatus
from sessionhistory.cli import _importer, _lines

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result as Finished

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Command = Callable[..., Awaitable[Finished]]
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


@pytest.mark.parametrize("count", [1, 501])
async def test_nobody_is_alarmed(
    service: Service, command: Command, write: Write, unique: str, count: int
) -> None:
    """Where nothing is wrong no call fails: neither for new conversations, nor for those that are there."""
    path = write(*(conversation(f"{unique}-{number}", *spoken(count)) for number in range(3)))
    for found in (
        await report(command, path, "--server", service.address),
        await report(command, path, "--server", service.address),
        await report(command, write(conversation(unique, *spoken(2))), "--server", service.address),
        await report(command, write(conversation(unique, *spoken(count + 2))), "--server", service.address),
    ):
        assert found["skipped"] == 0
    calls = service.app.metrics.totals().calls
    assert {code for finished in calls.values() for code in finished.codes} == {"OK"}


async def test_what_a_kill_left_without_messages(
    command: Command, write: Write, client: Client, unique: str
) -> None:
    """A session that was made for a conversation gets its messages by the next run, and its title by them."""
    await client.create_session(Session(session_id=unique, user_id="ada"))
    path = write(conversation(unique, user_id="ada"))
    found = await report(command, path)
    assert (found["completed"], found["stored_messages"]) == (1, 1)
    assert (await client.get_session(unique)).title == HELLO["content"]


async def test_the_same_lines_again_in_one_file(command: Command, write: Write, unique: str) -> None:
    """However close they are, the first is imported and the second is already there."""
    lines = [conversation(f"{unique}-{number // 2}", *spoken(20)) for number in range(60)]
    found = await report(command, write(*lines))
    assert (found["imported"], found["already_there"], found["stored_messages"]) == (30, 30, 600)


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
    messages = [*spoken(4, characters=1_040_000), *spoken(1_003, characters=6_285), *[with_calls] * 13]
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
        5: f"session '{unique}-closed' is ABANDONED: set it ACTIVE first",
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


async def test_a_message_that_is_refused_among_the_first(
    command: Command, write: Write, client: Client, unique: str
) -> None:
    """It is said that the session is there, which gets its messages when the line is mended."""
    path = write(conversation(unique, HELLO | {"name": "n" * 257}))
    (skip,) = (await report(command, path))["skips"]
    rule = "messages[0].name: must have at most 256 characters"
    assert skip["reason"] == f"{rule}; its session is made, without messages"
    found = await report(command, write(conversation(unique)))
    assert (found["completed"], found["stored_messages"]) == (1, 1)
    assert (await client.get_session(unique)).message_count == 1


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
        "1 conversation imported",
        "2 lines skipped",
        "2 messages stored",
    ]
