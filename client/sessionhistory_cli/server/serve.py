"""The command `serve`. It imports the service later, while an embedded Postgres starts."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from sessionhistory_cli.lazy_command import EMBEDDED, needing
from sessionhistory_cli.server.token_counter import load_counter
from sessionhistory_server import embedded
from sessionhistory_server.certificates import CertificateError, certificate_files
from sessionhistory_server.config import Settings, options, variable
from sessionhistory_server.jwt_settings import JwtSettingsError, check_jwt_settings
from sessionhistory_server.listening import ListenError, allow_open_files
from sessionhistory_server.observability import logs
from sessionhistory_server.observability.uncaught import log_uncaught
from sessionhistory_server.runtime import addresses, garbage_collection
from sessionhistory_server.runtime.certificate_log import CertificateLog
from sessionhistory_server.runtime.environment import unknown_variables
from sessionhistory_server.runtime.exposure import ExposureError, check_exposure
from sessionhistory_server.runtime.workers.worker_count import default_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from sessionhistory_server.certificates import CertificateFiles
    from sessionhistory_server.runtime.addresses import ReservedAddresses

_REFUSALS: Final = (CertificateError, ExposureError, JwtSettingsError, ListenError)

_log = logging.getLogger(__name__)


@click.command()
@options()
@click.option("--json", "as_json", is_flag=True, help="The same as --log-format json.")
def serve(*, as_json: bool, **values: Any) -> None:  # noqa: ANN401 - the settings, by name
    """Serve gRPC until SIGTERM or Ctrl-C. Without --database-url, on an embedded Postgres."""
    _require_server()
    settings = Settings(**values | ({"log_format": "json"} if as_json else {}))
    logs.configure(level=settings.log_level, log_format=settings.log_format)
    log_uncaught()
    allow_open_files()
    for name, nearest in unknown_variables(os.environ):
        _log.warning("ignoring %s: %s", name, f"did you mean {nearest}?" if nearest else "no such setting")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    load_counter(settings.token_counter, settings.tiktoken_dir)
    workers = settings.workers or default_workers()
    try:
        certificates = certificate_files(settings)
        check_jwt_settings(settings)
        with _addresses(settings, workers) as reserved, _database(settings) as (url, tend):
            tended = _tended_together(tend, certificates)
            _service().run(settings, url, reserved, certificates, workers=workers, tend=tended)
    except (*_REFUSALS, embedded.EmbeddedPostgresError) as error:
        raise click.ClickException(str(error)) from error
    _log.info("stopped")


def _require_server() -> None:
    """Report a missing package at once.

    Without this check, the error would come after a database was created, or at a request for metrics.
    """
    for package in ("psycopg", "prometheus_client"):
        if importlib.util.find_spec(package) is None:
            raise click.ClickException(f"{package} is missing: install {EMBEDDED}")


def _service() -> ModuleType:
    """Import the modules of the service, which takes as long as Postgres takes to start."""
    with needing(EMBEDDED), garbage_collection.paused():
        return importlib.import_module("sessionhistory_cli.server.service")


@contextmanager
def _addresses(settings: Settings, workers: int) -> Iterator[ReservedAddresses | None]:
    """Check the addresses before a database is created; on Linux, also reserve them for the workers."""
    if sys.platform == "linux":
        with addresses.reserve_addresses(settings) as reserved:
            check_exposure(settings)
            yield reserved
    elif workers == 1:
        addresses.check_addresses(settings)
        check_exposure(settings)
        yield None
    else:
        raise click.UsageError(f"--workers ({variable('workers')}): only Linux shares a port among several")


def _tended_together(
    tend: Callable[[], object], certificates: CertificateFiles | None
) -> Callable[[], object]:
    """Return a function that also looks at the certificates, if there are any."""
    if certificates is None:
        return tend
    log = CertificateLog(certificates)

    def tend_both() -> None:
        tend()
        log.look()

    return tend_both


@contextmanager
def _database(settings: Settings) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the URL of the database, and a function to call every second that tends an embedded Postgres."""
    if settings.database_url:
        yield settings.database_url, lambda: None
        return
    if settings.pooled:
        raise click.UsageError(f"--pooler ({variable('pooler')}) needs --database-url")
    _log.info("%s is not set: using the embedded Postgres", variable("database_url"))
    with embedded.kept(settings.embedded_data_dir, report=_log.info, meanwhile=_service) as keeper:
        yield keeper.url, keeper.tend
