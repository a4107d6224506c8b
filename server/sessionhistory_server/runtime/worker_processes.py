"""Serve with worker processes that are forked from this process."""

from __future__ import annotations

import dataclasses
import gc
from typing import TYPE_CHECKING

from sessionhistory_server import app
from sessionhistory_server.runtime.server_log import ServerLog
from sessionhistory_server.runtime.workers import worker
from sessionhistory_server.runtime.workers.expectation import STOP_SLACK_SECONDS
from sessionhistory_server.runtime.workers.supervisor import Supervisor

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from sessionhistory_server.certificates import CertificateFiles
    from sessionhistory_server.config import Settings
    from sessionhistory_server.runtime.addresses import ReservedAddresses


def run(
    settings: Settings,
    database_url: str,
    addresses: ReservedAddresses,
    certificates: CertificateFiles | None,
    *,
    workers: int,
    tend: Callable[[], object],
) -> None:
    """Serve with a number of worker processes until SIGINT or SIGTERM.

    This process must not have used gRPC, and must not have another thread: neither survives a fork.

    Args:
        settings: The settings of the service.
        database_url: The URL of its database.
        addresses: The addresses that are reserved for the workers.
        certificates: The files of TLS, which each worker inherits with their last valid contents.
        workers: The number of workers.
        tend: Called at least once a second. It tends the embedded Postgres and the certificates, if any.

    Raises:
        WorkersError: the workers cannot be started.
    """
    settings = dataclasses.replace(settings, listen=settings.listen._replace(port=addresses.grpc_port))
    listener = addresses.metrics_listener
    numbers, rates = app.shared_numbers(workers), app.shared_rates(workers)

    def work(index: int, control: socket.socket) -> int:
        resources = app.WorkerResources(
            worker=index,
            shares_port=True,
            numbers=numbers,
            rates=rates,
            metrics_listener=listener,
            certificates=certificates,
        )
        return worker.run(settings, database_url, resources, control)

    server_log = ServerLog(settings.listen, workers=workers)
    keep = [listener.fileno()] if listener else []
    gc.freeze()  # the objects that exist now stay in memory that all workers share
    stop_seconds = settings.drain_seconds + settings.grace_seconds + STOP_SLACK_SECONDS
    Supervisor(numbers, work, server_log, keep=keep, stop_seconds=stop_seconds, tend=tend).run()
