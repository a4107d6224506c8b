"""`session-history show`, `delete` and `undelete`: a session, its deletion and its restoration."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cli_history_support import STYLE, store, user

from sessionhistory import AsyncSessionHistoryClient as Client
from sessionhistory import (
    HistorySettings,
    Message,
    Role,
    Session,
    SessionFields,
    SessionStatus,
    UnansweredCalls,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from click.testing import Result

    from support.service import Service

    Command = Callable[..., Awaitable[Result]]

_MOMENT = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\dZ"
_MISSING = "it is missing, deleted, expired or another user's; see `session-history sessions --deleted`"


def _fields(text: str) -> dict[str, str]:
    """Return the fields of the output by name; an indented line belongs to the field before it."""
    return {
        name.strip(): re.sub(r"\n {18}", "\n", value)
        for name, value in re.findall(r"^(?! )(.{18})(.*(?:\n {18}.*)*)$", text, re.MULTILINE)
    }


async def test_all_that_is_set(command: Command, client: Client, unique: str) -> None:
    """Each field has its name, times are in UTC, and JSON is readable."""
    expires = datetime.now(UTC) + timedelta(days=9)
    await store(
        client,
        unique,
        user(),
        user(),
        user_id="ada",
        title="Rome \x1b in May",
        model="gpt-4o",
        labels={"b": "2", "a": "1"},
        metadata={"ü": [1, None]},
        state={"step": "packing"},
        history_settings=HistorySettings(
            max_messages=1_000,
            token_budget=1,
            step_tokens=0,
            step_messages=1,
            unanswered_calls=UnansweredCalls.OMIT,
            whole_responses=False,
        ),
        expire_time=expires,
    )
    await client.compact_history(unique, Message(role=Role.SYSTEM, content="so far"), through_sequence=1)
    await client.update_session(unique, status=SessionStatus.COMPLETED)
    shown = await command("show", unique, "--user", "ada")
    session = await client.get_session(unique)
    found = _fields(shown.stdout)
    for name in ("created", "last activity", "changed", "ended"):
        assert re.fullmatch(_MOMENT, found.pop(name))
    assert found == {
        "session": unique,
        "user": "ada",
        "title": r"Rome \x1b in May",
        "model": "gpt-4o",
        "status": "completed",
        "labels": "a=1, b=2",
        "messages": "2",
        "last sequence": "2",
        "tokens": "2",
        "token counter": "characters@2",
        "summary": "through sequence 1",
        "history settings": "at most 1,000 messages, at most 1 token, steps of 1 message,"
        " steps of 0 tokens, unanswered calls: omit, whole responses: no",
        "expires": f"{expires:%Y-%m-%d %H:%M:%SZ}",
        "etag": session.etag,
        "metadata": '{\n  "ü": [\n    1,\n    null\n  ]\n}',
        "state version": "0",
        "state": '{\n  "step": "packing"\n}',
    }


@pytest.mark.parametrize("field", dataclasses.fields(HistorySettings), ids=lambda field: field.name)
async def test_each_setting_is_shown(
    command: Command, client: Client, unique: str, field: dataclasses.Field[object]
) -> None:
    """A setting of histories is shown alone, also a zero and a no."""
    values: list[Any] = [UnansweredCalls.KEEP] if field.name == "unanswered_calls" else [0]
    values = [False, True] if field.name == "whole_responses" else values
    shown = set()
    for number, value in enumerate(values):
        settings: Any = {field.name: value}
        await client.create_session(
            f"{unique}-{number}", SessionFields(history_settings=HistorySettings(**settings))
        )
        shown.add(_fields((await command("show", f"{unique}-{number}")).stdout)["history settings"])
    assert len(shown) == len(values)
    assert "," not in "".join(shown)


async def test_what_is_not_set_is_not_shown(command: Command, client: Client, unique: str) -> None:
    """Empty fields are left out; a session that was copied from another names it."""
    await store(client, unique, user(None), user(None))
    assert set(_fields((await command("show", unique)).stdout)) == {
        *("session", "status", "messages", "last sequence", "tokens", "token counter"),
        *("created", "last activity", "changed", "etag", "state version"),
    }
    await client.fork_session(unique, new_session_id=f"{unique}-2", through_sequence=1)
    assert _fields((await command("show", f"{unique}-2")).stdout)["parent"] == f"{unique} through sequence 1"
    await client.fork_session(unique, new_session_id=f"{unique}-3", through_sequence=0)
    assert _fields((await command("show", f"{unique}-3")).stdout)["parent"] == f"{unique} through sequence 0"


async def test_it_is_the_same_on_a_terminal(command: Command, client: Client, unique: str) -> None:
    """A terminal gets the same text, with colours, wrapped lines and relative times."""
    await store(client, unique, user(), title="東京" * 40, user_id=unique)
    shown = (await command("show", unique, columns=80)).stdout
    assert STYLE.search(shown)
    text = STYLE.sub("", shown)
    assert text.count("Z (just now)\n") == 3
    plain = (await command("show", unique)).stdout
    assert re.sub(r"\s|\(just now\)", "", text) == re.sub(r"\s", "", plain)


async def test_as_json(command: Command, client: Client, unique: str) -> None:
    """With --json the output has every field exactly."""
    await client.create_session(unique, SessionFields(title="\x1b"))
    found = json.loads((await command("show", unique, "--json")).stdout)["session"]
    assert set(found) == set(Session.__dataclass_fields__)
    assert (found["session_id"], found["title"], found["end_time"]) == (unique, "\x1b", None)


async def test_a_session_goes_and_returns(command: Command, client: Client, unique: str) -> None:
    """The output of delete says until when the session can be restored and by which command."""
    await store(client, unique, user(), user(), user_id="ada")
    deleted = await command("delete", unique, "--user", "ada")
    told = re.fullmatch(
        rf"{unique} is deleted; until ({_MOMENT}) this restores it:\n  session-history (.*)\n", deleted.stdout
    )
    assert told
    (session,) = [
        session
        async for session in client.list_sessions(user_id="ada", show_deleted=True)
        if session.session_id == unique
    ]
    assert session.purge_time
    assert told[1] == f"{session.purge_time:%Y-%m-%d %H:%M:%SZ}"
    assert _MISSING in (await command("show", unique)).stderr
    assert _MISSING in (await command("delete", unique)).stderr
    assert told[2] == f"undelete {unique} --user ada"
    restored = await command(*shlex.split(told[2]))
    assert (restored.exit_code, restored.stdout) == (0, f"{unique} is restored, with 2 messages\n")
    assert (await client.get_session(unique)).message_count == 2
    again = await command("undelete", unique)
    assert (again.exit_code, again.stderr) == (
        1,
        f"Error: session '{unique}' is not deleted (SESSION_NOT_DELETED)\n",
    )


async def test_a_server_that_keeps_nothing(
    command: Command, serve: Callable[..., Awaitable[Service]], database_url: str
) -> None:
    """If the server keeps no deleted sessions, the output says so."""
    forgetful = await serve(database_url, delete_retention_days=0)
    async with Client(forgetful.address) as client:
        await client.create_session("x")
    deleted = await command("delete", "x", "--server", forgetful.address)
    assert (deleted.exit_code, deleted.stdout) == (
        0,
        "x is deleted; this server keeps no deleted sessions, and is about to remove it for good\n",
    )


async def test_for_good(command: Command, client: Client, unique: str) -> None:
    """With --purge --yes a session is removed at once, deleted or not, and its id is free again."""
    for is_deleted in (False, True):
        await store(client, unique, user())
        if is_deleted:
            await client.delete_session(unique)
        purged = await command("delete", unique, "--purge", "--yes")
        assert (purged.exit_code, purged.stdout) == (0, f"{unique} is removed, with 1 message\n")
        assert _MISSING in (await command("undelete", unique)).stderr


async def test_deleted_and_restored_as_json(command: Command, client: Client, unique: str) -> None:
    """With --json both commands print the whole session."""
    await store(client, unique, user())
    found = json.loads((await command("delete", unique, "--json")).stdout)["session"]
    assert (found["session_id"], found["message_count"], found["purge_time"] is None) == (unique, 1, False)
    found = json.loads((await command("undelete", unique, "--json")).stdout)["session"]
    assert (found["session_id"], found["delete_time"]) == (unique, None)
    found = json.loads((await command("delete", unique, "--purge", "--yes", "--json")).stdout)["session"]
    assert found["session_id"] == unique


@pytest.mark.parametrize("name", ["show", "delete", "undelete"])
async def test_what_is_not_there(command: Command, client: Client, unique: str, name: str) -> None:
    """A missing session and another user's are not found; an invalid id is a wrong argument."""
    await client.create_session(unique, user_id="ada")
    for arguments in ([f"{unique}-missing"], [unique, "--user", "eve"]):
        result = await command(name, *arguments)
        assert (result.exit_code, result.stdout, _MISSING in result.stderr) == (1, "", True)
    result = await command(name, "no such id")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith("Error: SESSION: must be ")
