"""What `serve` does once it has its addresses and a database."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

import click
import uvloop

import sessionhistory_migrations as migrations
from sessionhistory_server import garbage
from sessionhistory_server.app import App, Share
from sessionhistory_server.cli._database import clear_errors, valid
from sessionhistory_server.store.readiness import Journal, State
from sessionhistory_server.workers import forking
from sessionhistory_server.workers.announcer import say_listening
from sessionhistory_server.workers.supervisor import WorkersError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory_server.config import Settings
    from sessionhistory_server.listening import Reserved
    from sessionhistory_server.store.readiness import Finding

_log = logging.getLogger(__name__)


def run(settings: Settings, url: str, reserved: Reserved | None, *, workers: int) -> None:
    """Serve, in this process or, on addresses reserved for them, in several.

    Raises:
        click.ClickException: it cannot.
    """
    with clear_errors():
        if settings.database_url:
            valid(url)
        else:
            migrations.upgrade(url)
            _log.info("data in %s; look into it with: psql '%s'", settings.embedded_data_dir, url)
    if reserved is None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, url))
        return
    try:
        forking.run(settings, url, reserved, workers=workers)
    except WorkersError as error:
        raise click.ClickException(str(error)) from error


def _on_database() -> Callable[[Finding], None]:
    journal = Journal()

    def write(found: Finding) -> None:
        journal.write(found)
        if found.state is State.READY:
            garbage.settle()

    return write


async def _serve(settings: Settings, url: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    app = App(settings, url, Share(on_database=_on_database()))
    await app.start()
    say_listening(settings.listen._replace(port=app.port))
    await stop.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)  # a second signal does not wait
    _log.info("stopping")
    await app.stop(drain_seconds=settings.drain_seconds)
