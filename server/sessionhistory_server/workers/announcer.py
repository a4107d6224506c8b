"""What a server says for itself, said once for all its workers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sessionhistory_server.store.readiness import Finding, Journal, State

if TYPE_CHECKING:
    from sessionhistory_server.config import Address

_log = logging.getLogger(__name__)


def say_listening(address: Address, **fields: object) -> None:
    """Say where to call."""
    _log.info("listening on %s: try `grpcurl -plaintext %s list`", address, address, extra=fields)


class Announcer:
    """Says that all workers listen, and how the database is: ready once it is for all of them."""

    def __init__(self, address: Address, *, workers: int) -> None:
        self._address = address
        self._workers = workers
        self._silent = set(range(workers))
        self._journal = Journal()
        self._found: dict[int, Finding] = {}
        self._said: Finding | None = None

    @property
    def has_started(self) -> bool:
        """Whether each worker, or one before it, has listened."""
        return not self._silent

    def listening(self, slot: int) -> None:
        """A worker listens."""
        if slot in self._silent:
            self._silent.remove(slot)
            if self.has_started:
                say_listening(self._address, workers=self._workers)

    def database(self, slot: int, found: Finding) -> None:
        """A worker has found the database so."""
        self._found[slot] = found
        ready = sum(each.state is State.READY for each in self._found.values())
        if found != self._said and (found.state is not State.READY or ready == self._workers):
            self._said = found
            self._journal.write(found)

    def ended(self, slot: int) -> None:
        """A worker is gone."""
        self._found.pop(slot, None)
