"""All commands escape characters that the output's encoding lacks."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING

import pytest
from cli_history_support import store, user
from cli_import_support import conversation
from cli_terminal_support import on_a_terminal

from sessionhistory import ToolCall
from support.processes import COMMAND, PATIENCE_SECONDS, environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

_TEXT = "Zürich 😀 東京"
_ESCAPED = {
    "ascii": r"Z\xfcrich \U0001f600 \u6771\u4eac",
    "cp1252": r"Zürich \U0001f600 \u6771\u4eac",
    "iso8859-15": r"Zürich \U0001f600 \u6771\u4eac",
    "shift_jis": r"Z\xfcrich \U0001f600 東京",
    "utf-8": _TEXT,
}


@pytest.fixture
async def talk(client: Client, unique: str) -> str:
    """A session whose texts are all hard to encode."""
    message = user(_TEXT, name=_TEXT, tool_calls=(ToolCall(name="f", arguments=f'"{_TEXT}"'),))
    await store(client, unique, message, title=_TEXT, user_id=unique, state={_TEXT: _TEXT})
    return unique


async def _run(
    service: Service, *arguments: str | Path, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    return await asyncio.to_thread(
        subprocess.run,
        [COMMAND, *arguments],
        env=environment(SESSION_HISTORY_SERVER=service.address, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.mark.parametrize("encoding", _ESCAPED)
async def test_what_people_wrote(shared: Service, talk: str, encoding: str) -> None:
    """The text is complete; missing characters are escaped as Python does."""
    for arguments in (
        ["sessions", "--user", talk],
        ["show", talk],
        ["messages", talk],
        ["history", talk],
        ["update", talk, "--title", _TEXT],
    ):
        done = await _run(shared, *arguments, PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (0, b"")
        assert _ESCAPED[encoding] in done.stdout.decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
async def test_what_is_coloured_and_what_is_json(shared: Service, talk: str, encoding: str) -> None:
    """Coloured output is escaped by the same rule; JSON has its own escapes."""
    for arguments in (["sessions", "--user", talk], ["history", talk]):
        code, shown = await on_a_terminal(shared, *arguments, PYTHONIOENCODING=f"{encoding}:strict")
        assert (code, r"\U0001f600" in shown, "Traceback" in shown) == (0, True, False)
        done = await _run(shared, *arguments, "--json", PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stdout.isascii()) == (0, True)


async def test_errors_and_progress(shared: Service, write: Callable[..., Path], unique: str) -> None:
    """The ids in errors, of any bytes, and the progress bar are escaped too."""
    for encoding, said in (("ascii", rb"(\U0001f600\xe9)"), ("cp1252", b"(\\U0001f600\xe9)")):
        done = await _run(shared, "show", "x", "😀é", PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (2, b"Error: Got unexpected extra argument " + said + b"\n")
    done = await _run(shared, "show", "x", b"\xff".decode(errors="surrogateescape"))
    assert (done.returncode, rb"\udcff" in done.stderr) == (2, True)
    path = write(conversation(unique), conversation("ü" + unique))
    code, shown = await on_a_terminal(shared, "import", path, PYTHONIOENCODING="ascii")
    assert (code, "100%" in shown, rf"line 2 (\xfc{unique}): skipped: " in shown) == (1, True, True)


@pytest.mark.parametrize("variables", [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
async def test_without_a_locale(shared: Service, talk: str, variables: dict[str, str]) -> None:
    """Without a locale Python writes UTF-8, unless PYTHONUTF8 forbids it."""
    done = await _run(shared, "sessions", "--user", talk, **variables)
    expected = _ESCAPED["ascii" if "PYTHONUTF8" in variables else "utf-8"]
    assert (done.returncode, expected in done.stdout.decode()) == (0, True)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
async def test_the_help_of_all_commands(shared: Service, encoding: str) -> None:
    """The help of every command is ASCII, so that nothing in it is escaped."""
    listed = (await _run(shared, "--help")).stdout.decode().partition("Commands:\n")[2]
    names = [line.split()[0] for line in listed.splitlines() if line[:2] == "  " != line[:3]]
    assert "serve" in names
    for name in names:
        done = await _run(shared, name, "--help", PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr, done.stdout.isascii()) == (0, b"", True)
        assert b"\\x" not in done.stdout
        assert b"\\u" not in done.stdout


async def test_what_a_server_command_prints(shared: Service) -> None:
    """Errors of the server's commands escape the values that they quote."""
    done = await _run(shared, "migrate", "--database-url", "ü😀", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr.isascii(), b"Traceback" in done.stderr) == (2, True, False)
