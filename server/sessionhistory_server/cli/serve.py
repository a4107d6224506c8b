"""The command that serves."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import uvloop

import sessionhistory_migrations as migrations
from sessionhistory_server import embedded, garbage, listening, logs, tokens, workers
from sessionhistory_server.app import App
from sessionhistory_server.cli._database import clear_errors, valid
from sessionhistory_server.config import Settings, options, variable
from sessionhistory_server.environment import unknown_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)


@click.command()
@options()
@click.option("--json", "as_json", is_flag=True, help="The same as --log-format json.")
def serve(*, as_json: bool, **values: Any) -> None:  # noqa: ANN401 - the settings, by name
    """Serve gRPC until SIGTERM or Ctrl-C. Without --database-url, on a Postgres of its own."""
    settings = Settings(**values | ({"log_format": "json"} if as_json else {}))
    logs.configure(level=settings.log_level, log_format=settings.log_format)
    for name, nearest in unknown_variables(os.environ):
        _log.warning("ignoring %s: %s", name, f"did you mean {nearest}?" if nearest else "no such setting")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with clear_errors():
            _load_counter(settings)
            _run(settings, settings.workers or workers.default_workers())
    except (embedded.EmbeddedPostgresError, listening.ListenError, workers.WorkersError) as error:
        raise click.ClickException(str(error)) from error
    _log.info("stopped")


def _run(settings: Settings, count: int) -> None:
    """Serve in this process, or in several."""
    if count == 1:
        listening.check(settings)  # before a database is made in vain
        with _database(settings) as url, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, url))
    elif sys.platform != "linux":
        raise click.UsageError(f"--workers ({variable('workers')}): only Linux shares a port among several")
    else:
        with listening.reserved(settings) as reserved, _database(settings) as url:
            workers.run(settings, url, reserved, workers=count)


async def _serve(settings: Settings, url: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    app = App(settings, url)
    await app.start()
    garbage.settle()
    workers.say_listening(settings.listen._replace(port=app.port))
    await stop.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)  # a second signal does not wait
    _log.info("stopping")
    await app.stop(drain_seconds=settings.drain_seconds)


def _load_counter(settings: Settings) -> None:
    """Load the token counter, for all workers, before anything is made in vain."""
    try:
        tokens.load(settings.token_counter, settings.tiktoken_dir)
    except tokens.TokenCounterError as error:
        raise click.UsageError(
            f"--token-counter ({variable('token_counter')}) {settings.token_counter}: {error}"
        ) from error


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """Yield the URL to serve from: the given one, or an embedded Postgres's, migrated."""
    if settings.database_url:
        yield valid(settings.database_url)
        return
    _log.info("no %s: using a Postgres of its own", variable("database_url"))
    with embedded.running(settings.embedded_data_dir, report=_log.info) as url:
        migrations.upgrade(url)
        _log.info("data in %s; look into it with: psql '%s'", settings.embedded_data_dir, url)
        yield url
