"""`session-history sessions`: filters, a readable table on a terminal, whole values elsewhere."""

from __future__ import annotations

import json
import re
from datetime import timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from cli_import_support import HELLO
from rich.cells import cell_len

from sessionhistory import Message, Role, Session, SessionFields, SessionStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client

    Command = Callable[..., Awaitable[Result]]

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_HOSTILE = "\x1b]0;owned\x07\u202e[red]\n\ttext"
_CJK = "東京でおすすめの静かなカフェを教えてください。できれば電源があって長居できるところがいいです。"


@pytest.fixture
async def several(client: Client, unique: str) -> list[str]:
    """Sessions of a user of this test, the newest first."""
    for number in range(3):
        session = SessionFields(title=f"title {number}", labels={"n": str(number), "app": "x"})
        message = Message(role=Role.USER, content=HELLO["content"])
        await client.append_message(f"{unique}-{number}", message, user_id=unique, new_session=session)
    return [f"{unique}-{number}" for number in (2, 1, 0)]


async def _ids(command: Command, *arguments: str) -> list[str]:
    result = await command("sessions", *arguments)
    assert result.exit_code == 0, result.stderr
    return [line.split("\t")[0] for line in result.stdout.splitlines()]


async def test_filters(command: Command, client: Client, unique: str, several: list[str]) -> None:
    """Each filter selects the sessions that it names."""
    await client.update_session(several[1], status=SessionStatus.COMPLETED)
    await client.append_message(several[2], Message(role=Role.USER, content="more"))
    by_activity = [several[2], several[0], several[1]]
    assert await _ids(command, "--user", unique) == by_activity
    assert await _ids(command, "--user", unique, "--status", "completed") == [several[1]]
    assert await _ids(command, "--user", unique, "--status", "active", "--status", "completed") == by_activity
    assert await _ids(command, "--user", unique, "--label", "app=x", "--label", "n=2") == [several[0]]
    assert await _ids(command, "--user", unique, "--title", "LE 1") == [several[1]]
    await client.delete_session(several[0])
    assert await _ids(command, "--user", unique) == [several[2], several[1]]
    assert await _ids(command, "--user", unique, "--deleted") == by_activity


async def test_orders(command: Command, client: Client, unique: str, several: list[str]) -> None:
    """Sessions are ordered by either time, latest or earliest first."""
    await client.append_message(several[2], Message(role=Role.USER, content="more"))
    by_activity = [several[2], several[0], several[1]]
    for options, expected in (
        ((), by_activity),
        (("--oldest-first",), by_activity[::-1]),
        (("--order", "created"), several),
        (("--order", "created", "--oldest-first"), several[::-1]),
    ):
        assert await _ids(command, "--user", unique, *options) == expected
    result = await command("sessions", "--user", unique, "--oldest-first", "--limit", "1")
    assert (result.stdout.split("\t")[0], result.stderr) == (
        several[1],
        "these are the oldest 1; --limit shows more\n",
    )


async def test_times(command: Command, client: Client, unique: str, several: list[str]) -> None:
    """Each bound takes dates and times, with and without a zone, and spans before now."""
    sessions = [await client.get_session(session_id) for session_id in several]
    newest, middle, oldest = (session.create_time for session in sessions)
    await client.append_message(several[2], Message(role=Role.USER, content="more"))
    east = middle.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()
    for options, expected in (
        (("--created-after", east), several[:1]),
        (("--created-before", east), several[2:]),
        (("--created-after", f"{oldest:%Y-%m-%dT%H:%M:%S.%f}"), several[:2]),
        (
            ("--created-after", f"{oldest:%Y%m%dT%H%M%S.%fZ}", "--created-before", newest.isoformat()),
            several[1:2],
        ),
        (("--last-activity-after", middle.isoformat()), [several[2], several[0]]),
        (("--last-activity-before", newest.isoformat()), [several[1]]),
        (("--created-after", "2w", "--last-activity-after", "3h"), [several[2], *several[:2]]),
        (("--created-after", f"{newest - timedelta(days=1):%Y-%m-%d}"), [several[2], *several[:2]]),
        (("--created-before", "1h"), []),
        (("--last-activity-before", "90m"), []),
        (("--created-after", "9999-12-31"), []),
    ):
        assert await _ids(command, "--user", unique, *options) == expected, options


async def test_applications(command: Command, unique: str) -> None:
    """With --application the list has that application's sessions only."""
    for name in ("a", "b"):
        typed = b"hello"
        arguments = ("append", f"{unique}-{name}", "--create", "--user", unique, "--application", name)
        assert (await command(*arguments, typed=typed)).exit_code == 0
    assert await _ids(command, "--user", unique, "--application", "a") == [f"{unique}-a"]
    assert len(await _ids(command, "--user", unique)) == 2
    assert "application       a\n" in (await command("show", f"{unique}-a")).stdout


async def test_more_than_are_shown(command: Command, unique: str, several: list[str]) -> None:
    """A line says that there are more sessions, if there are."""
    result = await command("sessions", "--user", unique, "--limit", "2")
    assert (len(result.stdout.splitlines()), result.stderr) == (
        2,
        "these are the newest 2; --limit shows more\n",
    )
    assert (await command("sessions", "--user", unique, "--limit", "3")).stderr == ""
    found = json.loads((await command("sessions", "--user", unique, "--limit", "2", "--json")).stdout)
    assert ([session["session_id"] for session in found["sessions"]], found["more"]) == (several[:2], True)


async def test_none(command: Command, unique: str) -> None:
    """An empty list is reported, and is not an error."""
    for columns in (None, 80):
        result = await command("sessions", "--user", unique, columns=columns)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no such sessions\n")
    found = json.loads((await command("sessions", "--user", unique, "--json")).stdout)
    assert found == {"sessions": [], "more": False}


async def test_whole_values_elsewhere_than_on_a_terminal(
    command: Command, client: Client, unique: str
) -> None:
    """Without a terminal each session is a line with tabs, whole and without control characters."""
    session_id = unique.ljust(128, "x")
    message = Message(role=Role.USER, token_count=12_345)
    session = SessionFields(title=_HOSTILE + _CJK * 9)
    await client.append_message(session_id, message, user_id=unique, new_session=session)
    (line,) = (await command("sessions", "--user", unique)).stdout.splitlines()
    values = line.split("\t")
    title = r"\x1b]0;owned\x07\u202e[red]\n\ttext" + _CJK * 9
    assert values[:6] == [session_id, title, unique, "active", "1", "12345"]
    stored = await client.get_session(session_id)
    assert values[6:] == [stored.last_activity_time.isoformat(timespec="microseconds").replace("+00:00", "Z")]


@pytest.mark.parametrize("columns", [80, 120])
async def test_a_table_on_a_terminal(command: Command, client: Client, unique: str, columns: int) -> None:
    """Ids are whole, rows fit the terminal's width in any script, and titles are escaped."""
    long_id = unique.ljust(128, "x")
    titles = {long_id: _CJK, f"{unique}-2": _HOSTILE, f"{unique}-3": "plain"}
    for session_id, title in titles.items():
        session = SessionFields(title=title)
        message = Message(role=Role.USER, token_count=1_234_567)
        await client.append_message(session_id, message, user_id=unique, new_session=session)
    shown = (await command("sessions", "--user", unique, columns=columns)).stdout
    text = _STYLE.sub("", shown)
    assert _STYLE.search(shown)
    assert "\x1b" not in text
    assert max(map(cell_len, text.splitlines())) <= columns
    assert re.search(rf"{unique}-3 .* 1 +1,234,567 +just now", text)
    assert rf"{unique} · \x1b]0;owned\x07\u202e[red] t" in text
    assert f"{unique} · 東京で" in text
    assert long_id in "".join(re.findall(r"^\S+", text, re.MULTILINE))
    assert "status" not in text


async def test_a_status_is_shown_if_one_is_not_active(
    command: Command, client: Client, unique: str, several: list[str]
) -> None:
    """The status column appears if a session is completed, deleted or expired."""
    await client.update_session(several[0], status=SessionStatus.COMPLETED)
    await client.delete_session(several[1])
    text = _STYLE.sub("", (await command("sessions", "--user", unique, "--deleted", columns=80)).stdout)
    rows = dict(re.findall(rf"^({unique}-\d) +(\w+) ", text, re.MULTILINE))
    assert rows == {several[0]: "completed", several[1]: "deleted", several[2]: "active"}


async def test_json_has_every_field(command: Command, client: Client, unique: str) -> None:
    """JSON has snake case names, enums as words, integers as numbers, times in UTC, absent as null."""
    session = SessionFields(title=_HOSTILE, state={"n": 2**70, "ü": [None, 1.5]}, labels={"a": "b"})
    await client.create_session(unique, session, user_id=unique)
    stored = await client.get_session(unique)
    output = (await command("sessions", "--user", unique, "--json")).stdout
    assert output.isascii()
    assert output.rstrip("\n").isprintable()
    (found,) = json.loads(output)["sessions"]
    created = f"{stored.create_time:%Y-%m-%dT%H:%M:%S.%fZ}"
    assert found == {
        **dict.fromkeys(Session.__dataclass_fields__),
        "session_id": unique,
        "user_id": unique,
        "application_id": "",
        "title": _HOSTILE,
        "model": "",
        "status": "active",
        "labels": {"a": "b"},
        "state": {"n": 2**70, "ü": [None, 1.5]},
        "message_count": 0,
        "total_tokens": 0,
        "last_sequence": 0,
        "create_time": created,
        "update_time": created,
        "last_activity_time": created,
        "etag": stored.etag,
        "token_counter": "characters@2",
        "state_version": 0,
        "compacted_through_sequence": 0,
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--label", "app"], "give each as KEY=VALUE, and no key twice"),
        (["--label", "a=1", "--label", "a=2"], "give each as KEY=VALUE, and no key twice"),
        (["--limit", "0"], "'--limit'"),
        (["--order", "name"], "'--order'"),
        (["--application", ""], "--application: must not be empty"),
        *(
            ([option, value], f"'{option}': must be a date or time in ISO 8601, such as 2026-05-31")
            for option, value in (
                ("--created-after", "yesterday"),
                ("--created-before", ""),
                ("--last-activity-after", "3 h"),
                ("--last-activity-before", "-3h"),
                ("--created-after", "999999w"),
                ("--created-after", "0001-01-01T00:00+14:00"),
                ("--created-after", "2026-02-30"),
            )
        ),
        (["--status", "unknown"], "'--status'"),
        (["--user", ""], "--user: must not be empty"),
        (["--title", "x" * 201], "--title: must have at most 200 characters"),
        (["one"], "unexpected extra argument"),
    ],
)
async def test_arguments_that_make_no_sense(command: Command, arguments: list[str], said: str) -> None:
    """Invalid arguments are refused in one line, with exit code 2."""
    result = await command("sessions", *arguments)
    (line,) = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (2, "")
    assert line.startswith("Error: ")
    assert said in line


async def test_help_names_no_empty_default(command: Command) -> None:
    """The help shows no default for a filter, because a missing filter selects everything."""
    assert 'default: ""' not in (await command("sessions", "--help")).stdout
