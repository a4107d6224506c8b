"""The command that serves. It imports little: the rest comes while a Postgres of its own starts."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from sessionhistory_server import embedded, garbage, listening, logs
from sessionhistory_server.cli._counter import load_counter
from sessionhistory_server.cli._lazy import EMBEDDED, needing
from sessionhistory_server.config import Settings, options, variable
from sessionhistory_server.environment import unknown_variables
from sessionhistory_server.workers.cores import default_workers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from sessionhistory_server.listening import Reserved

_log = logging.getLogger(__name__)


@click.command()
@options()
@click.option("--json", "as_json", is_flag=True, help="The same as --log-format json.")
def serve(*, as_json: bool, **values: Any) -> None:  # noqa: ANN401 - the settings, by name
    """Serve gRPC until SIGTERM or Ctrl-C. Without --database-url, on an embedded Postgres."""
    _require_server()
    settings = Settings(**values | ({"log_format": "json"} if as_json else {}))
    logs.configure(level=settings.log_level, log_format=settings.log_format)
    for name, nearest in unknown_variables(os.environ):
        _log.warning("ignoring %s: %s", name, f"did you mean {nearest}?" if nearest else "no such setting")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    load_counter(settings.token_counter, settings.tiktoken_dir)
    workers = settings.workers or default_workers()
    try:
        with _addresses(settings, workers) as reserved, _database(settings) as url:
            _serving().run(settings, url, reserved, workers=workers)
    except (embedded.EmbeddedPostgresError, listening.ListenError) as error:
        raise click.ClickException(str(error)) from error
    _log.info("stopped")


def _require_server() -> None:
    """Say at once what to install.

    What serves is imported when a database has been made, and what shows metrics when somebody asks.
    """
    for package in ("psycopg", "prometheus_client"):
        if importlib.util.find_spec(package) is None:
            raise click.ClickException(f"{package} is missing: install {EMBEDDED}")


def _serving() -> ModuleType:
    """Import what serves, which takes as long as Postgres takes to start."""
    with needing(EMBEDDED), garbage.uncollected():
        return importlib.import_module("sessionhistory_server.cli._serving")


@contextmanager
def _addresses(settings: Settings, workers: int) -> Iterator[Reserved | None]:
    """Make sure of the addresses, before a database is made in vain; keep them if they are for several."""
    if workers == 1:
        listening.check(settings)
        yield None
    elif sys.platform != "linux":
        raise click.UsageError(f"--workers ({variable('workers')}): only Linux shares a port among several")
    else:
        with listening.reserved(settings) as reserved:
            yield reserved


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """Yield the URL to serve from: the given one, or an embedded Postgres's."""
    if settings.database_url:
        yield settings.database_url
        return
    _log.info("%s is not set: using the embedded Postgres", variable("database_url"))
    with embedded.running(settings.embedded_data_dir, report=_log.info, meanwhile=_serving) as url:
        yield url
