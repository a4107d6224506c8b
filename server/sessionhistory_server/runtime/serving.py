"""The loop of every process that serves: start the service, wait for the order to stop, and stop."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import uvloop

from sessionhistory_server.app import App
from sessionhistory_server.runtime import garbage_collection

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextlib import AbstractContextManager

    from sessionhistory_server.app import WorkerResources
    from sessionhistory_server.config import Settings
    from sessionhistory_server.store.postgres.database_state import Finding

T = TypeVar("T")


class Control(Protocol):
    """A control of a serving process: it orders the stop, and receives the reports.

    ``workers/worker.py`` has the control of a worker, ``single_process.py`` that of a process alone.
    """

    def arrange_stop(self, stop: asyncio.Event) -> None:
        """Arrange that the event is set when the process must stop. It is called first, in the event loop."""

    def report_listening(self, app: App) -> None:
        """Report that the service listens."""

    def report_database(self, found: Finding) -> None:
        """Report the state of the database."""

    async def watch(self, app: App) -> None:
        """Watch the service until cancelled. An error ends the service."""

    def stopping(self) -> AbstractContextManager[None]:
        """Return the context in which the service stops."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run an event loop until a coroutine has returned."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


async def serve(settings: Settings, database_url: str, resources: WorkerResources, control: Control) -> None:
    """Serve until the control sets its event, then stop.

    Raises:
        DispatchError: the servicers do not fit the contract.
        ListenError: an address is in use, or belongs to another machine.
        ServerEndedError: the gRPC server ended by itself.
    """

    def on_database(found: Finding) -> None:
        control.report_database(found)
        if found.state.is_served:
            garbage_collection.tune()

    stop = asyncio.Event()
    control.arrange_stop(stop)
    app = App(settings, database_url, dataclasses.replace(resources, on_database=on_database))
    await app.start()
    control.report_listening(app)
    await _until_stopped(app, stop, control)
    with control.stopping():
        await app.stop(drain_seconds=settings.drain_seconds)


async def _until_stopped(app: App, stop: asyncio.Event, control: Control) -> None:
    """Wait for the order to stop; raise an error that ends the service earlier."""
    tasks = (asyncio.create_task(app.serve_until(stop)), asyncio.create_task(control.watch(app)))
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()
