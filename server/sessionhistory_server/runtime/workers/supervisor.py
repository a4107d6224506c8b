"""Keep workers serving: start them, replace those that die or do not answer, and stop them at a signal.

The supervisor has one thread and no event loop, because neither survives a fork.
"""

from __future__ import annotations

import logging
import selectors
import signal
import socket
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from sessionhistory_server.observability.counters import clear_gauges
from sessionhistory_server.runtime.workers import messages
from sessionhistory_server.runtime.workers.expectation import ANSWER_SECONDS
from sessionhistory_server.runtime.workers.process import SIGNALS, Process, describe_exit
from sessionhistory_server.runtime.workers.supervised_worker import SupervisedWorker
from sessionhistory_server.store.postgres.database_state import DatabaseState, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from sessionhistory_server.observability.shared_memory import SharedNumbers
    from sessionhistory_server.runtime.server_log import ServerLog

# The longest pause between two checks of the workers.
_STEP_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class WorkersError(Exception):
    """Workers cannot be started. The message says why."""


class Supervisor:
    """A supervisor, which keeps a number of workers running.

    Args:
        numbers: The memory for the metrics of each worker.
        work: The work of a worker: gets its index and a control socket, and returns the exit code.
        server_log: The log of all workers.
        keep: The file descriptors that workers inherit.
        stop_seconds: How long workers may take to stop.
        tend: Called at least once a second until the stop begins. It may raise an error, and must not wait.
    """

    def __init__(
        self,
        numbers: SharedNumbers,
        work: Callable[[int, socket.socket], int],
        server_log: ServerLog,
        *,
        keep: Collection[int],
        stop_seconds: float,
        tend: Callable[[], object],
    ) -> None:
        self._numbers = numbers
        self._work = work
        self._server_log = server_log
        self._keep = keep
        self._stop_seconds = stop_seconds
        self._tend = tend
        self._workers = [SupervisedWorker(index) for index in range(len(numbers))]
        self._selector = selectors.DefaultSelector()
        self._stopping = False

    def run(self) -> None:
        """Keep the workers running until SIGINT or SIGTERM, then until they have ended.

        Raises:
            WorkersError: the workers cannot be started.
        """
        try:
            with _signals() as signals:
                self._selector.register(signals, selectors.EVENT_READ, partial(self._stop, signals))
                while not all(worker.is_finished for worker in self._workers):
                    self._step()
        finally:
            for worker in self._workers:
                if worker.process:
                    worker.process.kill()
                    worker.process.reap()
            self._selector.close()

    def _step(self) -> None:
        if not self._stopping:
            self._tend()
        for worker in self._workers:
            if worker.seconds_until_start == 0:
                self._start(worker)
        heard, passed_seconds = self._wait_for_messages()
        for worker in self._workers:
            # A worker that has just sent a message may have sent further messages, such as its answer.
            if worker.process and worker.process not in heard:
                self._check(worker, worker.process, passed_seconds)

    def _wait_for_messages(self) -> tuple[set[Process], float]:
        """Wait for messages and handle them; return their senders, and how long the wait took."""
        starts = (worker.seconds_until_start for worker in self._workers)
        timeout = min([_STEP_SECONDS, *(seconds for seconds in starts if seconds is not None)])
        began = time.monotonic()
        events = self._selector.select(timeout)
        passed_seconds = min(time.monotonic() - began, timeout)
        # The data of a key is its handler: ``_handle_message`` or ``_stop``.
        return {sender for key, _ in events if (sender := key.data())}, passed_seconds

    def _check(self, worker: SupervisedWorker, process: Process, passed_seconds: float) -> None:
        """Ping a worker if that is due; kill it if it is overdue."""
        expectation = worker.expectation
        expectation.wait(passed_seconds)
        if expectation.is_overdue:
            worker.failure = f"worker {worker.number} did not {expectation.action} within"
            worker.failure += f" {expectation.limit_seconds:g} seconds"
            _log.error("%s: killing it", worker.failure, extra={"pid": process.pid})
            process.kill()
            expectation.fulfil()
        elif expectation.is_ping_due:
            expectation.expect("answer", ANSWER_SECONDS)
            process.send(messages.PING)

    def _start(self, worker: SupervisedWorker) -> None:
        worker.starting()
        try:
            process = Process.fork(partial(self._work, worker.index), keep=self._keep)
        except OSError as error:
            self._replace(worker, {"cause": f"no process: {error.strerror}"})
        else:
            worker.process = process
            handle = partial(self._handle_message, worker, process)
            self._selector.register(process.control, selectors.EVENT_READ, handle)

    def _handle_message(self, worker: SupervisedWorker, process: Process) -> Process:
        """Handle a message of a worker; return its process."""
        kind, _, text = process.receive().partition(" ")
        match kind:
            case messages.LISTENING:
                worker.has_listened = True
                worker.expectation.fulfil()
                self._server_log.worker_listens(worker.index)
            case messages.PONG:
                worker.expectation.fulfil()
            case messages.DATABASE:
                state, _, reason = text.partition(" ")
                self._server_log.worker_found(worker.index, Finding(DatabaseState[state], reason))
            case messages.FAILED:
                worker.failure = text
            case _:
                self._handle_end(worker, process)
        return process

    def _handle_end(self, worker: SupervisedWorker, process: Process) -> None:
        self._selector.unregister(process.control)
        worker.process = None
        code = process.reap()
        clear_gauges(self._numbers[worker.index])
        self._server_log.worker_ended(worker.index)
        fields = {"pid": process.pid, "cause": describe_exit(code)}
        if not self._stopping:
            self._replace(worker, fields)
        elif code != 0:
            _log.error("worker %d died while it stopped", worker.number, extra=fields)

    def _replace(self, worker: SupervisedWorker, fields: dict[str, object]) -> None:
        cannot_start = not any(each.has_listened for each in self._workers)
        if cannot_start or not self._server_log.has_started:
            raise WorkersError(worker.failure or f"worker {worker.number} did not start: {fields['cause']}")
        worker.schedule_restart()
        _log.error(
            "worker %d died: another follows",
            worker.number,
            extra=fields | {"after_seconds": worker.delay_seconds},
        )

    def _stop(self, signals: socket.socket) -> None:
        self._selector.unregister(signals)
        _restore_signals()  # a second signal ends the process at once
        _log.info("stopping")
        self._stopping = True
        for worker in self._workers:
            worker.cancel_restart()
            if worker.process:
                worker.expectation.expect("end", self._stop_seconds)
                worker.process.send(messages.STOP)


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """Yield a socket that becomes readable when a signal arrives."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(0)
        signal.set_wakeup_fd(theirs.fileno())
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        try:
            yield ours
        finally:
            _restore_signals()


def _restore_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
