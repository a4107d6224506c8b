"""Serving with several processes, forked from this one."""

from __future__ import annotations

import dataclasses
import gc
from typing import TYPE_CHECKING

from sessionhistory_server import app
from sessionhistory_server.workers import worker
from sessionhistory_server.workers.announcer import Announcer
from sessionhistory_server.workers.supervisor import Supervisor

if TYPE_CHECKING:
    import socket

    from sessionhistory_server.config import Settings
    from sessionhistory_server.listening import Reserved


def run(settings: Settings, database_url: str, reserved: Reserved, *, workers: int) -> None:
    """Serve with so many processes until SIGINT or SIGTERM.

    Nothing of gRPC may have been used in this process, and there may be no other thread: neither survives
    a fork.

    Raises:
        WorkersError: they cannot be started.
    """
    settings = dataclasses.replace(settings, listen=settings.listen._replace(port=reserved.port))
    slots = app.slots(workers)

    def work(slot: int, line: socket.socket) -> int:
        share = app.Share(shares_port=True, slots=slots, slot=slot, metrics_listener=reserved.metrics)
        return worker.run(settings, database_url, share, line)

    announcer = Announcer(settings.listen, workers=workers)
    keep = [reserved.metrics.fileno()] if reserved.metrics else []
    gc.freeze()  # what is there now stays in memory that the workers share
    Supervisor(slots, work, announcer, keep=keep).run()
