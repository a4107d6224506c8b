"""Run the service for `serve`, once it has its addresses and its database."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import click

import sessionhistory_migrations as migrations
from sessionhistory_cli.server.database_url import explain_database_errors, valid_url
from sessionhistory_server.app import ServerEndedError
from sessionhistory_server.rpc.dispatch import DispatchError
from sessionhistory_server.runtime import single_process, worker_processes
from sessionhistory_server.runtime.workers.supervisor import WorkersError
from sessionhistory_server.store.postgres.preflight import refuse_moves

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory_server.certificates import CertificateFiles
    from sessionhistory_server.config import Settings
    from sessionhistory_server.runtime.addresses import ReservedAddresses

_log = logging.getLogger(__name__)


def run(
    settings: Settings,
    url: str,
    addresses: ReservedAddresses | None,
    certificates: CertificateFiles | None,
    *,
    workers: int,
    tend: Callable[[], object],
) -> None:
    """Serve with worker processes on reserved addresses, or, without such addresses, in this process.

    Raises:
        click.ClickException: the service cannot start, or has ended by itself.
    """
    with explain_database_errors():
        _prepare_database(settings, url)
    try:
        if addresses is None:
            single_process.run(settings, url, certificates, tend=tend)
        else:
            worker_processes.run(settings, url, addresses, certificates, workers=workers, tend=tend)
    except (DispatchError, ServerEndedError, WorkersError) as error:
        raise click.ClickException(str(error)) from error


def _prepare_database(settings: Settings, url: str) -> None:
    """Check a database that was given, or migrate the embedded one.

    A database that cannot be reached does not prevent the start: the service waits for it.
    """
    if not settings.database_url:
        migrations.upgrade(url)
        _log.info("data in %s; look into it with: psql '%s'", settings.embedded_data_dir, url)
        return
    valid_url(url, settings.pooler)
    if not settings.pooled:
        asyncio.run(refuse_moves(url, if_reachable=True))
