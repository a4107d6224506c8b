"""The client's commands, run in this process or in a process of their own."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from click.testing import CliRunner

from sessionhistory import AsyncSessionHistoryClient
from sessionhistory_cli.commands import cli

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from support.service import Service


@pytest.fixture
def command(shared: Service) -> Callable[..., Awaitable[Result]]:
    """Runs a command against the shared service; with ``columns``, as on a terminal of that width."""

    async def run(
        *arguments: str | Path, columns: int | None = None, typed: str | bytes = "", **variables: str
    ) -> Result:
        terminal = {"FORCE_COLOR": "1", "COLUMNS": str(columns), "TERM": "xterm-256color"} if columns else {}
        environment = {"SESSION_HISTORY_SERVER": shared.address} | terminal | variables
        words = [*map(str, arguments)]
        return await asyncio.to_thread(CliRunner().invoke, cli, words, input=typed, env=environment)

    return run


@pytest_asyncio.fixture
async def client(shared: Service) -> AsyncIterator[AsyncSessionHistoryClient]:
    """A client of the shared service."""
    async with AsyncSessionHistoryClient(shared.address) as client:
        yield client


@pytest.fixture
def unique() -> str:
    """A word that occurs nowhere else in the shared service."""
    return secrets.token_hex(6)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of lines: objects as JSON, text as it is."""

    def write_lines(*lines: dict[str, Any] | str) -> Path:
        path = tmp_path / "conversations.jsonl"
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        return path

    return write_lines


@pytest.fixture
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes the file of contexts in a home of the test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def write(text: str, mode: int = 0o600) -> Path:
        file = tmp_path / "session-history" / "contexts.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    return write
