"""The examples, by the commands of their READMEs."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.forgetful import Forgetful
from support.processes import environment
from support.readme import blocks
from support.tools import ROOT, require, search_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from support.service import Service

_TOOLS = {"go": ("go", "buf"), "java": ("javac", "mvn"), "typescript": ("node", "npm")}
_GENERATED = shutil.ignore_patterns("dist", "gen", "node_modules", "sessionhistory", "target")
_PATIENCE_SECONDS = 600
# Compile less, which halves the time; do not switch colours off at the end, which is output too.
_MAVEN_OPTS = "-XX:TieredStopAtLevel=1 -Djansi.noreset=true"

_CONVERSATION = """\
created session ID
stored message 2, the context has 2 messages, 11 tokens:
  1 SYSTEM: You plan trips.
  2 USER: What is the weather in Rome?
stored messages 3 to 5
the newest that fit 4 messages, 1 left out:
  1 SYSTEM: You plan trips.
  3 ASSISTANT: calls weather({"city":"Rome"})
  4 TOOL: 24 degrees, sunny
  5 ASSISTANT: Sunny, 24 degrees.
listed 5 messages in 3 pages
as another user: NOT_FOUND, SESSION_NOT_FOUND
deleted
"""
_CREATED = "created session ID\n"
_REFUSED = "INVALID_ARGUMENT, INVALID_FIELD: user_id: is required by this server\n"
_DEADLINE_SECONDS = 5

_ID = re.compile(r"example-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What Go adds of its own: downloads, the first time; how a program that failed has ended.
_OF_GO = re.compile(r"^(go: downloading .*|exit status 1)\n", re.MULTILINE)


class _Example:
    """A copy of an example with its protos, on an awkward path."""

    def __init__(self, language: str, folder: Path) -> None:
        self._folder = folder / "examples" / language
        shutil.copytree(ROOT / "examples" / language, self._folder, ignore=_GENERATED)
        shutil.copytree(ROOT / "protos", folder / "protos")
        (block,) = (block for block in blocks((self._folder / "README.md").read_text()) if block.kind == "sh")
        self._commands = block.text

    async def build_and_run(self, address: str) -> subprocess.CompletedProcess[str]:
        """Run all commands of the README."""
        return await self._run(self._commands, address)

    async def run(self, address: str) -> subprocess.CompletedProcess[str]:
        """Run the last command of the README."""
        return await self._run(self._commands.splitlines()[-1], address)

    async def _run(self, commands: str, address: str) -> subprocess.CompletedProcess[str]:
        assert "127.0.0.1:50051" in commands
        variables = {"PATH": search_path(), "MAVEN_OPTS": _MAVEN_OPTS}
        return await asyncio.to_thread(
            subprocess.run,
            ["sh", "-euc", commands.replace("127.0.0.1:50051", address)],
            cwd=self._folder,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )


@pytest.mark.parametrize("language", _TOOLS)
async def test_example(
    language: str, tmp_path: Path, database_url: str, serve: Callable[..., Awaitable[Service]]
) -> None:
    """Each has the conversation, though every first answer is lost; an error ends it with one line and 1."""
    require(*_TOOLS[language], path=search_path())
    example = _Example(language, tmp_path / "a clone")
    service, strict = await serve(database_url), await serve(database_url, require_user_id=True)

    async with Forgetful.running(service) as forgetful:
        done = await example.build_and_run(forgetful.address)
    _assert_said(done, _CONVERSATION, errors="", code=0)
    assert round(max(forgetful.seconds_left)) <= _DEADLINE_SECONDS
    await _assert_stored_and_deleted(service, _ID.findall(done.stdout))

    done = await example.run(strict.address)
    _assert_said(done, _CREATED, errors=_REFUSED, code=1)


def test_every_example_is_run() -> None:
    """A new example has to say here which tools it takes."""
    assert {entry.name for entry in (ROOT / "examples").iterdir() if entry.is_dir()} == set(_TOOLS)


def _assert_said(done: subprocess.CompletedProcess[str], output: str, *, errors: str, code: int) -> None:
    assert _OF_GO.sub("", done.stderr) == errors
    assert _ID.sub("ID", done.stdout) == output
    assert done.returncode == code


async def _assert_stored_and_deleted(service: Service, session_ids: list[str]) -> None:
    asked = pb.ListSessionsRequest(user_id="ada", labels={"app": "travel"})
    assert not (await service.stub.ListSessions(asked)).sessions
    asked.show_deleted = True
    sessions = (await service.stub.ListSessions(asked)).sessions
    assert [session.session_id for session in sessions] == session_ids
    assert [session.message_count for session in sessions] == [5]
    assert all(session.HasField("delete_time") for session in sessions)
