"""`session-history truncate`, `fork`, `reset` and `compact`: questions, effects and output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sessionhistory import Message, Role, SessionFields, SessionStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client

    Command = Callable[..., Awaitable[Result]]


@pytest.fixture
async def talk(client: Client, unique: str) -> str:
    """A session of three messages, owned by a user of this test."""
    messages = [Message(role=Role.USER, content=text, token_count=1) for text in ("one\n", "two", "three")]
    await client.append_messages(unique, messages, user_id=unique, new_session=SessionFields())
    return unique


async def _texts(client: Client, session_id: str) -> list[str | None]:
    return [message.content async for message in client.list_messages(session_id)]


async def test_it_need_not_ask(command: Command, client: Client, talk: str) -> None:
    """With --yes the command does not ask, and can be repeated; --json has all counters."""
    result = await command("truncate", talk, "--keep-through", "2", "--user", talk, "--yes")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "1 message removed, 2 left\n", "")
    result = await command("truncate", talk, "--keep-through", "0", "--yes", "--json")
    assert json.loads(result.stdout) == {
        "truncated": {
            "removed_message_count": 2,
            "last_sequence": 3,
            "message_count": 0,
            "total_tokens": 0,
        }
    }
    assert await _texts(client, talk) == []
    result = await command("truncate", talk, "--keep-through", "0", "--yes")
    assert result.stdout == "0 messages removed, 0 left\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing option '--keep-through'"),
        (["--keep-through", "-1"], "'--keep-through'"),
        (["--keep-through", "4", "--yes"], "has last sequence 3, which is before 4"),
        (["--keep-through", "0", "--user", "eve"], "see `session-history sessions --deleted`"),
        (["--keep-through", "0", "--user", "eve", "--yes"], "see `session-history sessions --deleted`"),
    ],
)
async def test_what_cannot_be_done(
    command: Command, client: Client, talk: str, arguments: list[str], said: str
) -> None:
    """One line names the reason, and nothing is removed."""
    result = await command("truncate", talk, *arguments)
    (line,) = result.stderr.splitlines()
    assert result.exit_code in (1, 2)
    assert line.startswith("Error: ")
    assert said in line
    assert len(await _texts(client, talk)) == 3


async def test_a_fork(command: Command, client: Client, talk: str) -> None:
    """The output is the id of the new session, or with --json the whole session."""
    result = await command(
        "fork", talk, "--through", "2", "--as", f"{talk}-2", "--title", "x", "--user", talk
    )
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{talk}-2\n", "")
    forked = await client.get_session(f"{talk}-2")
    assert (forked.title, forked.user_id, forked.message_count) == ("x", talk, 2)
    made = json.loads((await command("fork", talk, "--json")).stdout)["session"]
    assert made["parent"] == {"session_id": talk, "through_sequence": 3}
    assert await _texts(client, made["session_id"]) == ["one\n", "two", "three"]
    result = await command("fork", talk, "--as", f"{talk}-2")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is taken" in result.stderr


async def test_a_reset(command: Command, client: Client, talk: str) -> None:
    """The output is the id of the new session, which has the parts that the options keep."""
    await client.update_session(talk, state={"step": 1})
    result = await command("reset", talk, "--as", f"{talk}-2", "--keep-messages", "--keep-state", "--abandon")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{talk}-2\n", "")
    assert (await client.get_session(talk)).status is SessionStatus.ABANDONED
    assert (await client.get_session(f"{talk}-2")).state == {"step": 1}
    made = json.loads((await command("reset", f"{talk}-2", "--json")).stdout)["session"]
    assert (made["message_count"], made["state"]) == (0, None)
    result = await command("reset", talk)
    assert result.exit_code == 1
    assert "ABANDONED: set it ACTIVE first" in result.stderr


async def test_a_summary_is_read_from_standard_input(command: Command, client: Client, talk: str) -> None:
    """A summary from the standard input is stored; the output says how many messages it covers."""
    arguments = ("compact", talk, "--through", "2", "--user", talk, "--expected-through", "0")
    result = await command(*arguments, "--token-count", "9", "--model", "m", typed="  one, twö\n\n")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "summary stored for 2 messages through sequence 2: 9 tokens instead of 2\n"
    summary = (await client.get_history(talk)).messages[0]
    assert (summary.content, summary.role, summary.model) == ("one, twö", Role.SYSTEM, "m")
    assert await _texts(client, talk) == ["one\n", "two", "three"]
    again = await command(*arguments, "--token-count", "9", "--model", "m", typed="one, twö")
    assert again.stdout == result.stdout
    assert (await client.get_history(talk)).messages[0] == summary
    result = await command(*arguments, typed="another")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: session '{talk}' is compacted through sequence 2, not 0 (COMPACTION_MISMATCH)\n"
    )


async def test_a_summary_is_read_from_a_file(command: Command, talk: str, tmp_path: Path) -> None:
    """A summary is read from a file; with --json the output has every field."""
    file = tmp_path / "summary.txt"
    file.write_text("in short", encoding="utf-8")
    result = await command("compact", talk, file, "--through", "3", "--json")
    compacted = json.loads(result.stdout)["compacted"]
    assert (compacted["message"]["content"], compacted["message"]["sequence"]) == ("in short", 3)
    assert (compacted["summary"]["message_count"], compacted["summary"]["total_tokens"]) == (3, 3)


@pytest.mark.parametrize(
    ("arguments", "typed", "code", "said"),
    [
        (["--through", "9"], "a", 1, "has no message with sequence 9"),
        (["--through", "1"], " \n", 1, "the input is empty: a summary has text"),
        (["--through", "1"], b"ab\xff", 1, "the input is no UTF-8 text"),
        (["--through", "1"], "a\0b", 1, "the input has a NUL character"),
        (["--through", "0"], "a", 2, "'--through'"),
        (["no-such-file", "--through", "1"], "", 2, "no-such-file"),
        ([], "a", 2, "'--through'"),
    ],
)
async def test_what_is_no_summary(
    command: Command, talk: str, arguments: list[str], typed: str | bytes, code: int, said: str
) -> None:
    """An invalid summary is refused in one line."""
    result = await command("compact", talk, *arguments, typed=typed)
    (line,) = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in line
