"""`session-history import`: conversations that are stored in part, have grown, differ, or are too large."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_import_support import HELLO, NO_PLACE, conversation, report, spoken, stored

from sessionhistory import Message, Role, SessionFields, SessionStatus
from sessionhistory_cli.client.importing import file_values
from sessionhistory_cli.json_output import to_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result as Finished

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Command = Callable[..., Awaitable[Finished]]
    Write = Callable[..., Path]

_TAKEN = "its id is taken, by another user's session"
_DIFFERS = "it differs from the conversation that is stored under its id"


@pytest.mark.parametrize("there", [0, 1, 500, 501, 1_100])
async def test_what_was_begun_is_completed(
    command: Command, write: Write, client: Client, unique: str, there: int
) -> None:
    """If a part of a conversation is stored, the rest is stored; a further run stores nothing."""
    messages = spoken(1_200)
    if there:
        await report(command, write(conversation(unique, *messages[:there])))
    else:
        await client.create_session(unique)
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
    """Without an error in the file no call to the server fails, for new and for stored conversations."""
    path = write(*(conversation(f"{unique}-{number}", *spoken(count)) for number in range(3)))
    for found in (
        await report(command, path, "--server", service.address),
        await report(command, path, "--server", service.address),
        await report(command, write(conversation(unique, *spoken(2))), "--server", service.address),
        await report(command, write(conversation(unique, *spoken(count + 2))), "--server", service.address),
    ):
        assert found["skipped"] == 0
    calls = service.app.metrics.totals().calls
    ours = {name: finished.codes for name, finished in calls.items() if "/" not in name}
    assert {code for codes in ours.values() for code in codes} == {"OK"}


async def test_what_a_kill_left_without_messages(
    command: Command, write: Write, client: Client, unique: str
) -> None:
    """A session without messages, which a killed run has left, gets its messages and its title."""
    await client.create_session(unique, user_id="ada")
    path = write(conversation(unique, user_id="ada"))
    found = await report(command, path)
    assert (found["completed"], found["stored_messages"]) == (1, 1)
    assert (await client.get_session(unique)).title == HELLO["content"]


async def test_the_same_lines_again_in_one_file(command: Command, write: Write, unique: str) -> None:
    """If a line is repeated, the first is imported and the second counts as already there."""
    lines = [conversation(f"{unique}-{number // 2}", *spoken(20)) for number in range(60)]
    found = await report(command, write(*lines))
    assert (found["imported"], found["already_there"], found["stored_messages"]) == (30, 30, 600)


async def test_a_conversation_that_went_on_is_there(
    command: Command, write: Write, client: Client, unique: str
) -> None:
    """Later messages and a closed session do not affect a further import."""
    path = write(conversation(unique, *spoken(3)))
    await report(command, path)
    await client.append_message(unique, Message(role=Role.USER, content="later"))
    await client.update_session(unique, status=SessionStatus.COMPLETED, title="renamed")
    assert (await report(command, path))["already_there"] == 1
    assert (await client.get_session(unique)).message_count == 4


async def test_batches_keep_to_the_limits_of_the_service(
    command: Command, write: Write, client: Client, unique: str
) -> None:
    """Many messages, large ones, and many calls are stored in order, in as many batches as they need."""
    calls = [{"name": "f", "arguments": "ü" * 1_000}] * 128
    with_calls = {"role": "user", "tool_calls": calls}
    messages = [*spoken(4, characters=1_040_000), *spoken(1_003, characters=6_285), *[with_calls] * 13]
    path = write(conversation(unique, *messages))
    assert (await report(command, path))["stored_messages"] == len(messages)
    assert (await report(command, path))["already_there"] == 1
    assert (await client.get_session(unique)).message_count == len(messages)


async def test_what_has_an_id_already(command: Command, write: Write, client: Client, unique: str) -> None:
    """If another session has the id, nothing is stored, and that session does not change."""
    await client.append_message(unique, Message(role=Role.USER), user_id="ada", new_session=SessionFields())
    for name in ("deleted", "closed"):
        await client.create_session(f"{unique}-{name}")
    deleted = await client.delete_session(f"{unique}-deleted")
    assert deleted
    assert deleted.purge_time
    await client.create_session(f"{unique}-ada", user_id="ada")
    await client.delete_session(f"{unique}-ada")
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
        conversation(f"{unique}-ada", user_id="eve"),
    )
    found = await report(command, path)
    reasons = {skip["line"]: skip["reason"] for skip in found["skips"]}
    held = reasons.pop(4)
    assert held.startswith(f"the session id '{unique}-deleted' is taken: a deleted or expired session holds")
    assert f"until its purge_time, {to_json(deleted.purge_time)}" in held
    assert reasons == {
        1: _TAKEN,
        2: _TAKEN,
        3: _DIFFERS,
        5: f"session '{unique}-closed' is ABANDONED: set it ACTIVE first",
        8: _DIFFERS,
        10: _TAKEN,
    }
    assert (found["imported"], found["already_there"], found["completed"]) == (1, 1, 1)
    assert [(m.role, m.content) for m in await stored(client, unique)] == [(Role.USER, None)]


async def test_a_message_far_behind_that_is_refused(command: Command, write: Write, unique: str) -> None:
    """The reason has the message's index in the file, and says how many messages are stored."""
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
    """The reason says that the session exists; the mended line adds its messages."""
    path = write(conversation(unique, HELLO | {"name": "n" * 257}))
    (skip,) = (await report(command, path))["skips"]
    rule = "messages[0].name: must have at most 256 characters"
    assert skip["reason"] == f"{rule}; its session is made, without messages"
    found = await report(command, write(conversation(unique)))
    assert (found["completed"], found["stored_messages"]) == (1, 1)
    assert (await client.get_session(unique)).message_count == 1
    path = write(conversation(unique, HELLO, HELLO | {"name": "n" * 257}))
    (skip,) = (await report(command, path))["skips"]
    assert skip["reason"] == f"{rule.replace('[0]', '[1]')}; its first message is stored"


async def test_a_message_that_is_too_large_is_seen_before_anything_is_stored(
    command: Command, write: Write, client: Client, unique: str
) -> None:
    """A message that is too large is found before any batch of its conversation is stored."""
    found = await report(command, write(conversation(unique, *spoken(600), *spoken(1, characters=2**20))))
    assert found["skips"][0]["reason"].startswith("messages[600].content: too large")
    assert [s.session_id async for s in client.list_sessions(title_contains=unique)] == []


async def test_a_line_that_is_too_long(
    command: Command, write: Write, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that is too long is skipped without being read as a whole; other lines are imported."""
    monkeypatch.setattr(file_values, "MAX_VALUE_BYTES", 1_000)
    monkeypatch.setattr(file_values, "_CHUNK_BYTES", 100)
    lines = (conversation(f"{unique}-1"), " " * 1_001, conversation(f"{unique}-2"), "x" * 5_000)
    found = await report(command, write(*lines))
    assert found["imported"] == 2
    reason = "too large: a line has at most 1,000 bytes"
    assert found["skips"] == [{"line": line, "conversation_id": "", "reason": reason} for line in (2, 4)]


async def test_fields_without_a_place_are_named(command: Command, write: Write, unique: str) -> None:
    """Each unknown field is reported by its path, with the number of values other than null.

    Many, long and strange names are shortened.
    """
    message = HELLO | {"mood": "good", "usage": {"total_tokens": 3, "prompt_tokens": 1}, "gone": None}
    path = write(conversation(unique, message, message | {"mood": None}, cost=0.5))
    counts = {"cost": 1, "messages[].mood": 1, "messages[].usage.total_tokens": 2}
    assert (await report(command, path))["not_stored"] == {NO_PLACE: counts}
    text = await command("import", path)
    for name, count in counts.items():
        assert f"{name} ({count})" in text.stdout
    many = {f"{number:03}\x1b{'x' * 100}": 1 for number in range(50)}
    found = (await report(command, write(conversation(f"{unique}-2", **many))))["not_stored"][NO_PLACE]
    assert (len(found), sum(found.values()), found["(others)"]) == (21, 50, 30)
    assert all(len(name) <= 80 and name.isprintable() for name in found)


async def test_what_people_are_told(command: Command, write: Write, unique: str) -> None:
    """Skipped lines are printed to standard error at once, escaped; then come the counts above zero."""
    path = write(conversation(unique, *spoken(2)), conversation("bad\x1b[2J id"), "{")
    result = await command("import", path)
    assert result.exit_code == 1
    rule = "must be 1 to 256 printable ASCII characters other than space, quotes and backslash"
    assert result.stderr.splitlines() == [
        f"line 2 (bad\\x1b[2J id): skipped: session_id: {rule}",
        "line 3: skipped: not JSON: Expecting property name enclosed in double quotes, at column 2",
    ]
    assert [line.strip() for line in result.stdout.splitlines()] == [
        "1 conversation imported",
        "2 lines skipped",
        "2 messages stored",
    ]
