"""What a worker does: it serves until it is told to stop, or until nobody is there to tell it."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import uvloop

from sessionhistory_server import garbage, logs
from sessionhistory_server.app import App
from sessionhistory_server.listening import ListenError
from sessionhistory_server.store.readiness import State

if TYPE_CHECKING:
    import socket

    from sessionhistory_server.app import Share
    from sessionhistory_server.config import Settings
    from sessionhistory_server.store.readiness import Finding

STOP: Final = b"stop"
"""The one thing that a worker is told."""

# What a worker says: that it listens; what it has found of the database, a state's name and the reason;
# why it cannot listen.
LISTENING: Final = "listening"
DATABASE: Final = "database"
FAILED: Final = "failed"

_POOL_SECONDS: Final = 1.0


def run(settings: Settings, database_url: str, share: Share, line: socket.socket) -> int:
    """Serve; return the exit code.

    Args:
        settings: Of the service.
        database_url: Where it keeps everything.
        share: What is this worker's.
        line: To the supervisor, who listens as long as it lives.
    """
    logs.bind(worker=share.slot + 1)
    line.settimeout(0)

    def say_finding(found: Finding) -> None:
        _say(line, DATABASE, found.state.name, found.reason)
        if found.state is State.READY:
            garbage.settle()

    share = dataclasses.replace(share, on_database=say_finding)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, database_url, share, line))


async def _serve(settings: Settings, database_url: str, share: Share, line: socket.socket) -> int:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(line, _heed, line, stop)
    app = App(settings, database_url, share)
    try:
        await app.start()
    except ListenError as error:
        _say(line, FAILED, str(error))
        return 1
    _say(line, LISTENING)
    while not stop.is_set():
        app.metrics.update_pool()
        with suppress(TimeoutError):
            async with asyncio.timeout(_POOL_SECONDS):
                await stop.wait()
    await app.stop(drain_seconds=settings.drain_seconds)
    return 0


def _heed(line: socket.socket, stop: asyncio.Event) -> None:
    if line.recv(len(STOP)) == STOP:
        stop.set()
    else:
        os._exit(1)  # the supervisor has been killed: another server may want the port, and the data


def _say(line: socket.socket, *words: str) -> None:
    with suppress(BrokenPipeError):  # as above
        line.send(" ".join(words).encode())
