"""A worker process: it serves until the supervisor stops it."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Final

from sessionhistory_server.app import ServerEndedError
from sessionhistory_server.listening import ListenError
from sessionhistory_server.observability import logs
from sessionhistory_server.rpc.dispatch import DispatchError
from sessionhistory_server.runtime import serving
from sessionhistory_server.runtime.workers.messages import DATABASE, FAILED, LISTENING, PING, PONG, STOP

if TYPE_CHECKING:
    import socket
    from contextlib import AbstractContextManager

    from sessionhistory_server.app import App, WorkerResources
    from sessionhistory_server.config import Settings
    from sessionhistory_server.store.postgres.database_state import Finding

_MESSAGE_BYTES: Final = 16

_log = logging.getLogger(__name__)


def run(settings: Settings, database_url: str, resources: WorkerResources, supervisor: socket.socket) -> int:
    """Serve; return the exit code.

    Args:
        settings: The settings of the service.
        database_url: The URL of its database.
        resources: The worker's part of the memory and sockets of all workers.
        supervisor: The socket to the supervisor, which stays open as long as the supervisor lives.
    """
    logs.bind(worker=resources.worker + 1)
    supervisor.settimeout(0)
    return serving.run(_serve(settings, database_url, resources, supervisor))


async def _serve(
    settings: Settings, database_url: str, resources: WorkerResources, supervisor: socket.socket
) -> int:
    try:
        await serving.serve(settings, database_url, resources, _SupervisorControl(supervisor))
    except (DispatchError, ListenError) as error:
        _send(supervisor, FAILED, str(error))
        return 1
    except ServerEndedError as error:
        _log.error("%s", error)
        # The exit closes the connections, so that no caller waits for calls that still run in this worker.
        os._exit(1)
    return 0


class _SupervisorControl:
    """A control that stops the service at a message of the supervisor, and reports to it."""

    def __init__(self, supervisor: socket.socket) -> None:
        self._supervisor = supervisor
        self._pinged = asyncio.Event()

    def arrange_stop(self, stop: asyncio.Event) -> None:
        asyncio.get_running_loop().add_reader(self._supervisor, self._receive, stop)

    def report_listening(self, _app: App) -> None:
        _send(self._supervisor, LISTENING)

    def report_database(self, found: Finding) -> None:
        _send(self._supervisor, DATABASE, found.state.name, found.reason)

    async def watch(self, app: App) -> None:
        """Answer each ping of the supervisor once the worker has answered its own or accepted other calls."""
        while True:
            await self._pinged.wait()
            self._pinged.clear()
            await app.call_itself()
            _send(self._supervisor, PONG)

    def stopping(self) -> AbstractContextManager[None]:
        """Return an empty context: the supervisor limits the stop."""
        return nullcontext()

    def _receive(self, stop: asyncio.Event) -> None:
        try:
            message = self._supervisor.recv(_MESSAGE_BYTES)
        except ConnectionResetError:
            message = b""
        if message == STOP:
            stop.set()
        elif message == PING:
            self._pinged.set()
        else:
            os._exit(1)  # the supervisor was killed: another server may need the port and the data


def _send(supervisor: socket.socket, *words: str) -> None:
    # The supervisor was killed, or was suspended for so long that its buffer is full.
    with suppress(BrokenPipeError, BlockingIOError):
        supervisor.send(" ".join(words).encode())
