"""The examples that make many calls over a stream lose nothing and store nothing twice, whatever ends it."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest
from workers_support import pids_of

from sessionhistory_server.config import Address
from sessionhistory_server.rpc.streaming import lifetime
from support.databases import execute
from support.examples import Example
from support.forgetful import Forgetful
from support.locks import locked, waiting
from support.metrics import Metrics
from support.proxy import free_port
from support.tools import require, search_path
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from support.processes import Server
    from support.service import Service

    Start = Callable[..., Server]

_TOOLS = {"go": ("go", "buf"), "typescript": ("node", "npm")}
_ADDRESS = "127.0.0.1:50051"
_CONVERSATIONS, _TURNS = 300, 5
_SAID = f"kept {_CONVERSATIONS} conversations of {_TURNS} turns: each message is stored once, in order\n"
_TURN = ("And on day {}?", "On day {} it is sunny.")
_CONTENTS = [text.format(day) for day in range(_TURNS) for text in _TURN]
_BUILD_SECONDS = 300

_RPCS = "sessionhistory_rpcs_total"
_STORED = "select count(*) from messages"
_SESSIONS = """
select state_version, state, array_agg(content order by sequence), array_agg(sequence order by sequence)
from sessions join messages using (session_key) group by session_key
"""


@pytest.mark.parametrize("language", _TOOLS)
async def test_streams_that_end(language: str, tmp_path: Path, database_url: str, start: Start) -> None:
    """Killed workers break a stream with calls in progress; a server that stops announces the end."""
    require(*_TOOLS[language], path=search_path())
    example = Example(language, tmp_path)
    prepare, many = example.commands
    assert (await example.run(prepare.rpartition("\n")[0])).returncode == 0
    port, metrics = free_port(), Metrics(free_port())

    def serve() -> Server:
        address = ("--listen", f"127.0.0.1:{port}", "--database-url", database_url)
        return start("--workers", "2", *address, metrics_port=metrics.port)

    server = serve()
    await asyncio.to_thread(server.wait_for, "database: ready")
    running = asyncio.create_task(example.run(many.replace(_ADDRESS, f"127.0.0.1:{port}")))
    await _until_stored(200, database_url)
    with locked(database_url):
        await until(lambda: waiting(database_url))
        for pid in pids_of(server):
            os.kill(pid, signal.SIGKILL)
    await _until_stored(800, database_url)
    with locked(database_url):
        await until(lambda: waiting(database_url))
        server.signal(signal.SIGTERM)
        await asyncio.to_thread(server.wait_for, "stopping")
    assert await asyncio.to_thread(server.wait) == 0
    assert not running.done(), running.result()

    serve()
    done = await running
    assert (done.stdout.endswith(_SAID), done.returncode) == (True, 0), done
    _assert_stored(database_url)
    await until(lambda: any("CallStream" in key for key in metrics.read()))


@pytest.mark.parametrize("language", _TOOLS)
async def test_streams_that_are_old(
    language: str,
    tmp_path: Path,
    database_url: str,
    serve: Callable[..., Awaitable[Service]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server ends a stream while calls go on: the calls take the next one, and none is refused."""
    require(*_TOOLS[language], path=search_path())
    example = Example(language, tmp_path)
    prepare, many = example.commands
    assert (await example.run(prepare.rpartition("\n")[0])).returncode == 0
    monkeypatch.setattr(lifetime, "AGE_SECONDS", 0.2)
    metrics = Metrics(free_port())
    service = await serve(database_url, metrics_listen=Address("127.0.0.1", metrics.port))
    done = await example.run(many.replace(_ADDRESS, service.address))
    assert (done.stdout.endswith(_SAID), done.returncode) == (True, 0), done
    _assert_stored(database_url)
    counted = {key[1:]: value for key, value in (await metrics.fetch()).items() if key[0] == _RPCS}
    assert counted["OK", "CallStream"] > 1
    assert {code for code, method in counted if method in {"AppendMessage", "UpdateState"}} == {"OK"}
    assert counted["OK", "AppendMessage"] == _CONVERSATIONS * 2 * _TURNS
    assert counted["OK", "UpdateState"] == _CONVERSATIONS * _TURNS


@pytest.mark.parametrize("language", _TOOLS)
async def test_a_server_without_call_stream(
    language: str, tmp_path: Path, database_url: str, serve: Callable[..., Awaitable[Service]]
) -> None:
    """The calls are unary; each first answer is lost, and so each call is made twice."""
    require(*_TOOLS[language], path=search_path())
    example = Example(language, tmp_path)
    prepare, many = example.commands
    assert (await example.run(prepare.rpartition("\n")[0])).returncode == 0
    async with Forgetful.running(await serve(database_url)) as forgetful:
        done = await example.run(many.replace(_ADDRESS, forgetful.address))
    assert (done.stdout.endswith(_SAID), done.returncode) == (True, 0), done
    assert forgetful.refused_streams > 0
    _assert_stored(database_url)


async def _until_stored(messages: int, database_url: str) -> None:
    def is_stored() -> bool:
        ((stored,),) = execute(database_url, _STORED)
        return int(str(stored)) >= messages

    await until(is_stored, patience_seconds=_BUILD_SECONDS)


def _assert_stored(database_url: str) -> None:
    sessions = execute(database_url, _SESSIONS)
    assert len(sessions) == _CONVERSATIONS
    for session in sessions:
        assert session == (_TURNS, f'{{"turns": {_TURNS}}}', _CONTENTS, [*range(1, 2 * _TURNS + 1)])
