"""Ids of channels, as arguments and in all output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cli_import_support import conversation, report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli_import_support import Command

IDS = (
    "19:abc@thread.tacv2;messageid=1700000000000",
    "+15550100",
    "ada+test@example.com",
    "a:1kKz==",
    "[red]{0}%s$(x)|*?<>&~#^",
    "-h",
)


@pytest.mark.parametrize(
    "arguments",
    [
        *([name] for name in ("show", "messages", "history", "append", "fork", "reset")),
        ["update", "--title", "t"],
        *(["truncate", "--keep-through", "0"], ["compact", "--through", "1"], ["delete"], ["undelete"]),
    ],
    ids=lambda arguments: arguments[0],
)
async def test_an_id_that_looks_like_an_option(command: Command, arguments: list[str]) -> None:
    """Each command that takes a session explains the use of -- for such an id."""
    result = await command(*arguments, "-x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "Error: No such option '-x'. Put -- before a SESSION that begins with -.\n"
    assert "no session '-x'" in (await command(*arguments, "--", "-x", typed="so far")).stderr


async def test_what_is_no_option(command: Command) -> None:
    """A command without a SESSION only names the unknown option."""
    assert (await command("sessions", "-x")).stderr == "Error: No such option '-x'.\n"


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("columns", [None, 300])
async def test_an_id_is_whole_everywhere(
    command: Command, write: Callable[..., Path], unique: str, name: str, columns: int | None
) -> None:
    """An id is imported, listed, shown, copied and refused unchanged, in spite of its special characters."""
    session_id = f"{name}{unique}"
    assert (await report(command, write(conversation(session_id, user_id=unique))))["imported"] == 1
    for arguments in (["sessions", "--user", unique], ["history", "--", session_id]):
        result = await command(*arguments, columns=columns)
        assert (result.exit_code, session_id in result.stdout) == (0, True)
    copied = await command("fork", "--as", f"{session_id}=", "--", session_id)
    assert (copied.exit_code, copied.stdout) == (0, f"{session_id}=\n")
    shown = json.loads((await command("history", "--json", "--", f"{session_id}=")).stdout)
    assert shown["session"]["parent"]["session_id"] == session_id
    refused = await command("history", "--", f"{session_id}?")
    assert f"no session '{session_id}?'" in refused.stderr
