"""Serve in one process, on systems where several processes cannot share a port."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sessionhistory_server.app import WorkerResources
from sessionhistory_server.runtime import serving
from sessionhistory_server.runtime.server_log import log_listening
from sessionhistory_server.runtime.workers.expectation import STOP_SLACK_SECONDS
from sessionhistory_server.store.postgres.database_state import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sessionhistory_server.app import App
    from sessionhistory_server.certificates import CertificateFiles
    from sessionhistory_server.config import Settings
    from sessionhistory_server.store.postgres.database_state import Finding

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_TEND_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


def run(
    settings: Settings,
    database_url: str,
    certificates: CertificateFiles | None,
    *,
    tend: Callable[[], object],
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        settings: The settings of the service.
        database_url: The URL of its database.
        certificates: The files of TLS; ``None``: plaintext.
        tend: Called every second until the stop begins. It tends the embedded Postgres and the certificates,
            if any.

    Raises:
        DispatchError: the servicers do not fit the contract.
        ServerEndedError: the gRPC server ended by itself.
    """
    resources = WorkerResources(certificates=certificates)
    serving.run(serving.serve(settings, database_url, resources, _SignalControl(settings, tend)))


class _SignalControl:
    """A control that stops the service at a signal, and logs its reports."""

    def __init__(self, settings: Settings, tend: Callable[[], object]) -> None:
        self._settings = settings
        self._tend = tend
        self._journal = Journal()

    def arrange_stop(self, stop: asyncio.Event) -> None:
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def report_listening(self, app: App) -> None:
        log_listening(self._settings.listen._replace(port=app.port))

    def report_database(self, found: Finding) -> None:
        self._journal.write(found)

    async def watch(self, _app: App) -> None:
        while True:
            self._tend()
            await asyncio.sleep(_TEND_SECONDS)  # the event loop does not report the end of a child process

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """End the process if the stop takes too long, or at a second signal."""
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
        _log.info("stopping")
        limit_seconds = self._settings.drain_seconds + self._settings.grace_seconds + STOP_SLACK_SECONDS
        timer = threading.Timer(limit_seconds, _end, [limit_seconds])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _end(limit_seconds: float) -> None:
    _log.error("the server did not end within %g seconds: ending it", limit_seconds)
    os._exit(1)
