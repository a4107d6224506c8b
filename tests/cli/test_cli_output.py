"""Output to a full disk or a closed pipe."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_history_support import store, user
from cli_import_support import conversation

from support.processes import COMMAND, PATIENCE_SECONDS, environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

_FULL = Path("/dev/full")


async def _into(
    output: int, service: Service, *arguments: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [COMMAND, *arguments],
        env=environment(SESSION_HISTORY_SERVER=service.address, **variables),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.fixture
async def commands(client: Client, write: Callable[..., Path], unique: str) -> list[list[str | Path]]:
    """Commands with output, one of which exceeds a buffer."""
    await store(client, unique, user("x" * 100_000), user_id=unique)
    return [
        ["--help"],
        ["--version"],
        ["health"],
        ["sessions", "--user", unique],
        ["sessions", "--user", unique, "--json"],
        ["show", unique],
        ["messages", unique],
        ["messages", unique, "--json"],
        ["history", unique],
        ["import", write(conversation(f"{unique}-2"))],
    ]


@pytest.mark.skipif(not _FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
async def test_a_full_disk(shared: Service, commands: list[list[str | Path]], encoding: str) -> None:
    """One line reports a full disk, whether a write fails or the flush at the end."""
    full = os.open(_FULL, os.O_WRONLY)
    for arguments in commands:
        done = await _into(full, shared, *arguments, PYTHONIOENCODING=encoding)
        said = "Error: the output cannot be written: No space left on device\n"
        assert (arguments, done.returncode, done.stderr) == (arguments, 1, said)
    os.close(full)


async def test_a_closed_pipe(shared: Service, commands: list[list[str | Path]]) -> None:
    """A closed pipe ends the command without an error message."""
    reading, writing = os.pipe()
    os.close(reading)
    for arguments in commands:
        done = await _into(writing, shared, *arguments)
        assert (arguments, done.returncode, done.stderr) == (arguments, 1, "")
    os.close(writing)
