"""`session-history import`: lists, documents of several lines, and files of messages."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from cli_import_support import HELLO, conversation, report, spoken, stored

from sessionhistory import Message, Role, SessionFields
from sessionhistory_cli.client.importing import conversation_reader, document_values, file_values

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client

    Command = Callable[..., Awaitable[Result]]
    Write = Callable[..., Path]


async def _sessions(client: Client, user_id: str) -> list[str]:
    return sorted([session.session_id async for session in client.list_sessions(user_id=user_id)])


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("packed", [False, True])
async def test_a_list_of_conversations(
    command: Command, tmp_path: Path, client: Client, unique: str, *, indent: int | None, packed: bool
) -> None:
    """The items of a list are conversations, in one line or in many."""
    lines = [json.loads(json.dumps(conversation(f"{unique}-{n}", *spoken(3)))) for n in range(30)]
    text = json.dumps([*lines, {"title": "none"}], indent=indent).encode("utf-8-sig")
    path = tmp_path / "list.json"
    path.write_bytes(gzip.compress(text) if packed else text)
    found = await report(command, path, "--user", unique)
    assert (found["imported"], found["stored_messages"], found["finished"]) == (30, 90, True)
    thing, number = ("line", 1) if indent is None else ("item", 31)
    assert found["skips"] == [{thing: number, "conversation_id": "", "reason": "conversation_id: is missing"}]
    assert len(await _sessions(client, unique)) == 30
    assert (await report(command, path, "--user", unique))["already_there"] == 30


async def test_a_long_list_is_read_item_by_item(
    command: Command, tmp_path: Path, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that is larger than the limit of a value is imported, also if it is one line."""
    for module in (file_values, document_values):
        monkeypatch.setattr(module, "MAX_VALUE_BYTES", 5_000)
    monkeypatch.setattr(document_values, "_CHUNK_BYTES", 700)
    path = tmp_path / "list.json"
    path.write_text(json.dumps([conversation(f"{unique}-{n}", *spoken(20)) for n in range(20)]))
    assert (await report(command, path))["imported"] == 20
    path.write_text(json.dumps([conversation(f"{unique}-{n}", *spoken(20)) for n in (1, 30)])[:-20])
    result = await command("import", path, "--json")
    assert json.loads(result.stdout)["already_there"] == 1
    assert result.stderr.startswith("Error: the file is cut off or damaged: item 2: not JSON: ")
    path.write_text(json.dumps([conversation(f"{unique}-{n}", *spoken(500)) for n in (1, 30)]))
    result = await command("import", path, "--json")
    assert "item 1: too large, or not JSON: " in result.stderr


@pytest.mark.parametrize(
    ("text", "damage"),
    [
        ('[\n{"a": 1},', "it ends inside a list"),
        ("[\n" + "[" * 100_000, "item 1: nested too deep, or a number too long"),
        ("[\n\xff", "not JSON: not in UTF-8"),
        ("[secret", "item 1: not JSON: Expecting value"),
    ],
)
async def test_a_damaged_list(command: Command, tmp_path: Path, text: str, damage: str) -> None:
    """The error names the item, and quotes nothing."""
    path = tmp_path / "list.json"
    path.write_bytes(text.encode("latin-1"))
    result = await command("import", path)
    assert result.stderr.splitlines()[-1] == f"Error: the file is cut off or damaged: {damage}"


async def test_documents_of_several_lines(
    command: Command, tmp_path: Path, client: Client, unique: str
) -> None:
    """Objects of several lines follow each other without a list, as `jq` prints them."""
    path = tmp_path / "objects.json"
    path.write_text("\n".join(json.dumps(conversation(f"{unique}-{n}"), indent=2) for n in range(3)))
    assert (await report(command, path, "--user", unique))["imported"] == 3
    assert len(await _sessions(client, unique)) == 3


async def test_lines_that_are_lists_of_messages(
    command: Command, write: Write, client: Client, unique: str
) -> None:
    """Each list of messages is a conversation, whose id is made from its content and its owner."""
    path = write(*(json.dumps(spoken(2 + n)) for n in range(3)))
    found = await report(command, path, "--user", unique)
    assert (found["imported"], found["stored_messages"]) == (3, 9)
    sessions = await _sessions(client, unique)
    assert all(one.startswith("import-") for one in sessions)
    assert (await report(command, path, "--user", unique))["already_there"] == 3
    assert await _sessions(client, unique) == sessions
    assert (await report(command, path, "--user", f"{unique}-2"))["imported"] == 3


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("start", ["", "\r\n\n", "\ufeff\n"])
async def test_lists_in_a_list(
    command: Command, tmp_path: Path, unique: str, *, indent: int | None, start: str
) -> None:
    """Each list of a list is a conversation, in one line or in many, also behind empty lines."""
    path = tmp_path / "list.json"
    path.write_text(start + json.dumps([spoken(2), spoken(3), [HELLO]], indent=indent))
    found = await report(command, path, "--user", unique)
    assert (found["imported"], found["stored_messages"]) == (3, 6)
    assert (await report(command, path, "--user", unique))["already_there"] == 3


async def test_what_messages_prints(command: Command, tmp_path: Path, client: Client, unique: str) -> None:
    """The lines of `messages --json` are the messages of one session, and keep their ids."""
    told = [Message(role=Role.USER, content=f"{place}") for place in range(30)]
    await client.append_messages(unique, told, new_session=SessionFields())
    path = tmp_path / "messages.jsonl"
    path.write_text((await command("messages", unique, "--all", "--json")).stdout)
    copy = f"{unique}-copy"
    found = await report(command, path, "--session", copy)
    assert (found["imported"], found["stored_messages"]) == (1, 30)
    assert found["not_stored"] == {
        "the server sets it": {"messages[].sequence": 30, "messages[].create_time": 30}
    }
    assert [m.message_id for m in await stored(client, copy)] == [m.message_id for m in told]
    for _ in range(2):
        await report(command, path, "--user", unique)
    (made,) = await _sessions(client, unique)
    assert [m.content for m in await stored(client, made)] == [m.content for m in told]


async def test_a_session_that_is_too_large_for_memory(
    command: Command, tmp_path: Path, client: Client, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session of many messages is stored in parts, and counts as one conversation."""
    monkeypatch.setattr(conversation_reader, "MAX_VALUE_BYTES", 2_000)
    lines = [json.dumps({"sequence": n, **message}) for n, message in enumerate(spoken(200), start=1)]
    path = tmp_path / "messages.jsonl"
    path.write_text("\n".join(lines[:120]))
    expected = {"imported": 1, "completed": 0, "already_there": 0, "skipped": 0, "stored_messages": 120}
    assert _counts(await report(command, path, "--session", unique)) == expected
    path.write_text("\n".join(lines))
    expected |= {"imported": 0, "completed": 1, "stored_messages": 80}
    assert _counts(await report(command, path, "--session", unique)) == expected
    expected |= {"completed": 0, "already_there": 1, "stored_messages": 0}
    assert _counts(await report(command, path, "--session", unique)) == expected
    assert [m.content for m in await stored(client, unique)] == [m["content"] for m in spoken(200)]
    lines[100] = json.dumps({"sequence": 101, **HELLO})
    path.write_text("\n".join(lines))
    found = await report(command, path, "--session", unique)
    assert (found["skipped"], found["already_there"], len(found["skips"])) == (1, 0, 1)


def _counts(found: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, count in found.items() if isinstance(count, int) and name != "finished"}


async def test_pinned_prompts(command: Command, write: Write, client: Client, unique: str) -> None:
    """--pin-system pins system and developer prompts, as many as a session may have."""
    prompts = [{"role": role, "content": role} for role in ("system", "developer", "user")]
    path = write(conversation(unique, *prompts), conversation(f"{unique}-2", *[prompts[0]] * 70))
    found = await report(command, path, "--pin-system")
    assert found["not_stored"] == {"a session has at most 64 pinned messages": {"the pin of a prompt": 6}}
    assert [message.pinned for message in await stored(client, unique)] == [True, True, False]
    assert sum(message.pinned for message in await stored(client, f"{unique}-2")) == 64
    assert (await report(command, path, "--pin-system"))["already_there"] == 2
