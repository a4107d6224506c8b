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

import sessionhistory_migrations as migrations
from sessionhistory_server import embedded, listening, logs
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
            listening.check(settings)  # before a database is made in vain, and gRPC complains by itself
            with _database(settings) as url:
                asyncio.run(_serve(settings, url))
    except (embedded.EmbeddedPostgresError, listening.ListenError) as error:
        raise click.ClickException(str(error)) from error
    _log.info("stopped")


async def _serve(settings: Settings, url: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    app = App(settings, url)
    await app.start()
    address = settings.listen._replace(port=app.port)
    _log.info("listening on %s: try `grpcurl -plaintext %s list`", address, address)
    await stop.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)  # a second signal does not wait
    _log.info("stopping")
    await app.stop(drain_seconds=settings.drain_seconds)


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
