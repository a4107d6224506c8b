"""Log once for the whole server, with any number of workers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sessionhistory_server.store.postgres.database_state import DatabaseState, Finding, Journal

if TYPE_CHECKING:
    from sessionhistory_server.config import Address

_log = logging.getLogger(__name__)


def log_listening(address: Address, **fields: object) -> None:
    """Log the address to call."""
    _log.info("listening on %s: try `session-history sessions --server %s`", address, address, extra=fields)


class ServerLog:
    """The log of a server. It says when all workers listen, and when the database is ready for all."""

    def __init__(self, address: Address, *, workers: int) -> None:
        self._address = address
        self._workers = workers
        self._not_listening = set(range(workers))
        self._journal = Journal()
        self._findings: dict[int, Finding] = {}
        self._logged: Finding | None = None

    @property
    def has_started(self) -> bool:
        """Whether the process of each worker, or an earlier one, has listened."""
        return not self._not_listening

    def worker_listens(self, index: int) -> None:
        """Note that a worker listens; log when all workers listen for the first time."""
        if index in self._not_listening:
            self._not_listening.remove(index)
            if self.has_started:
                log_listening(self._address, workers=self._workers)

    def worker_found(self, index: int, found: Finding) -> None:
        """Note the state of the database that a worker has found; log a change of the common state."""
        self._findings[index] = found
        ready = sum(each.state is DatabaseState.READY for each in self._findings.values())
        if found != self._logged and (found.state is not DatabaseState.READY or ready == self._workers):
            self._logged = found
            self._journal.write(found)

    def worker_ended(self, index: int) -> None:
        """Forget the finding of a worker that has ended."""
        self._findings.pop(index, None)
