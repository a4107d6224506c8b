"""Keeps workers running: starts them, replaces those that die, and stops them all at a signal.

It has one thread and no event loop: neither would survive a fork.
"""

from __future__ import annotations

import logging
import selectors
import signal
import socket
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from sessionhistory_server.metrics import forget_gauges
from sessionhistory_server.store.readiness import Finding, State
from sessionhistory_server.workers import worker
from sessionhistory_server.workers.place import Place
from sessionhistory_server.workers.process import SIGNALS, Process, described

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from sessionhistory_server.slots import Slots
    from sessionhistory_server.workers.announcer import Announcer

_log = logging.getLogger(__name__)


class WorkersError(Exception):
    """Workers cannot be started; the message says why."""


class Supervisor:
    """Keeps a worker in each slot.

    Args:
        slots: What the workers count in.
        work: What a worker does, with its slot and a line to us; returns its exit code.
        announcer: Says what there is to say.
        keep: The file descriptors that workers inherit.
    """

    def __init__(
        self,
        slots: Slots,
        work: Callable[[int, socket.socket], int],
        announcer: Announcer,
        *,
        keep: Collection[int],
    ) -> None:
        self._slots = slots
        self._work = work
        self._announcer = announcer
        self._keep = keep
        self._places = [Place(slot) for slot in range(len(slots))]
        self._selector = selectors.DefaultSelector()
        self._stopping = False

    def run(self) -> None:
        """Keep the workers running until SIGINT or SIGTERM, then until they have ended.

        Raises:
            WorkersError: they cannot be started.
        """
        try:
            with _signals() as signals:
                self._selector.register(signals, selectors.EVENT_READ, partial(self._stop, signals))
                while not all(place.is_empty for place in self._places):
                    self._step()
        finally:
            for place in self._places:
                if place.process:
                    place.process.kill()
            self._selector.close()

    def _step(self) -> None:
        for place in self._places:
            if place.waits_seconds == 0:
                self._start(place)
        waits = [place.waits_seconds for place in self._places if place.waits_seconds is not None]
        for key, _ in self._selector.select(min(waits, default=None)):
            key.data()

    def _start(self, place: Place) -> None:
        place.begin()
        try:
            process = Process.fork(partial(self._work, place.slot), keep=self._keep)
        except OSError as error:
            self._replace(place, {"cause": f"no process: {error.strerror}"})
        else:
            place.process = process
            self._selector.register(process.line, selectors.EVENT_READ, partial(self._hear, place, process))

    def _hear(self, place: Place, process: Process) -> None:
        kind, _, text = process.hear().partition(" ")
        match kind:
            case worker.LISTENING:
                place.has_listened = True
                self._announcer.listening(place.slot)
            case worker.DATABASE:
                state, _, reason = text.partition(" ")
                self._announcer.database(place.slot, Finding(State[state], reason))
            case worker.FAILED:
                place.failure = text
            case _:
                self._bury(place, process)

    def _bury(self, place: Place, process: Process) -> None:
        self._selector.unregister(process.line)
        place.process = None
        code = process.reap()
        forget_gauges(self._slots[place.slot])
        self._announcer.ended(place.slot)
        fields = {"pid": process.pid, "cause": described(code)}
        if not self._stopping:
            self._replace(place, fields)
        elif code != 0:
            _log.error("worker %d died while it stopped", place.number, extra=fields)

    def _replace(self, place: Place, fields: dict[str, object]) -> None:
        cannot_start = not any(place.has_listened for place in self._places)
        if cannot_start or not self._announcer.has_started:
            raise WorkersError(place.failure or f"worker {place.number} did not start: {fields['cause']}")
        place.put_off()
        _log.error(
            "worker %d died: another follows",
            place.number,
            extra=fields | {"after_seconds": place.delay_seconds},
        )

    def _stop(self, signals: socket.socket) -> None:
        self._selector.unregister(signals)
        _by_default()  # a second signal does not wait
        _log.info("stopping")
        self._stopping = True
        for place in self._places:
            place.stop()
            if place.process:
                place.process.tell(worker.STOP)


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """Yield what can be read from once a signal has come."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(0)
        signal.set_wakeup_fd(theirs.fileno())
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        try:
            yield ours
        finally:
            _by_default()


def _by_default() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
