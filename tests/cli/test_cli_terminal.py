"""The commands on a real terminal: their output, questions and input."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cli_history_support import STYLE, store, user
from cli_import_support import conversation, spoken
from cli_terminal_support import COLUMNS, on_a_terminal
from rich.cells import cell_len

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Command = Callable[..., Awaitable[Result]]


async def test_a_conversation_from_import_to_history(
    shared: Service, write: Callable[..., Path], unique: str
) -> None:
    """The import shows its progress; lists and messages are coloured, and as wide as the terminal."""
    path = write(conversation(unique, *spoken(3, characters=300), user_id=unique, title="東京" * 60))
    imported = await on_a_terminal(shared, "import", path)
    assert "100%" in imported.text
    assert imported.text.endswith("1 conversation imported\n3 messages stored\n")
    for arguments in (["sessions", "--user", unique], ["history", unique], ["messages", unique]):
        shown = (await on_a_terminal(shared, *arguments)).text
        assert STYLE.search(shown)
        text = STYLE.sub("", shown)
        assert "\x1b" not in text
        assert COLUMNS - 2 <= max(map(cell_len, text.splitlines())) <= COLUMNS


async def test_who_types_is_told_how_to_end(shared: Service, unique: str) -> None:
    """A command that reads from the terminal says how to end the text."""
    for arguments in (["append", unique, "--create"], ["compact", unique, "--through", "1"]):
        code, shown = await on_a_terminal(shared, *arguments, typed=b"A text.\n\x04")
        assert "reading from the terminal; Ctrl-D on an empty line ends the text\n" in shown
        assert (code, "stored" in shown) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "question", "done"),
    [
        (["truncate", "--keep-through", "1"], "Remove those after 1 for good?", "2 messages removed, 1 left"),
        (["delete", "--purge"], "Remove it for good?", "is removed, with 3 messages"),
    ],
)
async def test_what_cannot_be_restored_is_asked_first(
    shared: Service, client: Client, unique: str, arguments: list[str], question: str, done: str
) -> None:
    """The question says how many messages there are; without a yes nothing happens."""
    name, *options = arguments
    await store(client, unique, user("one\n"), user("two"), user("three"), user_id=unique)
    for answer in (b"n\n", b"\n", b"\x04"):
        code, shown = await on_a_terminal(shared, name, unique, *options, typed=answer)
        assert f'{unique} ("one\\n") has 3 messages up to sequence 3. {question} [y/N]: ' in shown
        assert (code, shown.endswith("Aborted!\n")) == (1, True)
        assert (await client.get_session(unique)).message_count == 3
    code, shown = await on_a_terminal(shared, name, unique, *options, typed=b"y\n")
    assert (code, done in shown) == (0, True)


async def test_a_deleted_session_is_purged(shared: Service, client: Client, unique: str) -> None:
    """A deleted session cannot be read, and the question says so."""
    await store(client, unique, user())
    await client.delete_session(unique)
    code, shown = await on_a_terminal(shared, "delete", unique, "--purge", typed=b"y\n")
    assert f"{unique} is deleted already, if it exists. Remove it for good? [y/N]: " in shown
    assert (code, shown.endswith(f"{unique} is removed, with 1 message\n")) == (0, True)


@pytest.mark.parametrize("arguments", [["truncate", "--keep-through", "0"], ["delete", "--purge"]])
async def test_where_nobody_can_be_asked(
    command: Command, client: Client, unique: str, arguments: list[str]
) -> None:
    """Without a terminal the command needs --yes; piped input does not count as an answer."""
    name, *options = arguments
    await store(client, unique, user())
    result = await command(name, unique, *options, typed="y\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(
        r"Error: standard input is not a terminal, .*: pass --yes to confirm\n", result.stderr
    )
    assert (await client.get_session(unique)).message_count == 1
