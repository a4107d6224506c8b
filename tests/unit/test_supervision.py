"""When the supervisor replaces workers, and which lines it logs for all of them."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from sessionhistory_server.config import Address
from sessionhistory_server.observability.shared_memory import SharedNumbers
from sessionhistory_server.runtime.server_log import ServerLog
from sessionhistory_server.runtime.workers import supervised_worker
from sessionhistory_server.runtime.workers.expectation import Expectation
from sessionhistory_server.runtime.workers.process import Process
from sessionhistory_server.runtime.workers.supervised_worker import SupervisedWorker
from sessionhistory_server.runtime.workers.supervisor import Supervisor, WorkersError
from sessionhistory_server.store.postgres.database_state import DatabaseState, Finding

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_ADDRESS = Address("127.0.0.1", 1)


def _delays(monkeypatch: pytest.MonkeyPatch, lives_seconds: list[float]) -> list[float]:
    """Return how long a slot stays empty after workers of these lifetimes."""
    now = 1_000.0
    monkeypatch.setattr(supervised_worker, "time", SimpleNamespace(monotonic=lambda: now))
    worker, delays = SupervisedWorker(0), []
    for life_seconds in lives_seconds:
        worker.starting()
        now += life_seconds
        worker.schedule_restart()
        assert worker.seconds_until_start == pytest.approx(worker.delay_seconds)
        delays.append(worker.delay_seconds)
    return delays


def test_who_dies_young_is_replaced_later_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies young is replaced after 0.1 to 10 seconds, twice as long each time.

    A worker that has lived long is replaced at once.
    """
    delays = _delays(monkeypatch, [1.0] * 9 + [10.0, 1.0])
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 0.0, 0.1])


_READY = Finding(DatabaseState.READY)
_REFUSED = Finding(DatabaseState.UNAVAILABLE, "refused")
_FULL = Finding(DatabaseState.UNAVAILABLE, "too many clients")


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ([(0, _READY)], []),
        ([(0, _READY), (1, _READY)], ["ready"]),
        ([(0, _REFUSED), (1, _REFUSED)], ["refused"]),
        ([(0, _REFUSED), (1, _FULL), (0, _FULL)], ["refused", "full"]),
        ([(0, _READY), (1, _REFUSED)], ["refused"]),
        ([(0, _REFUSED), (1, _REFUSED), (0, _READY), (1, _READY)], ["refused", "ready"]),
        ([(0, _READY), (1, _READY), (1, None), (1, _READY)], ["ready"]),
        ([(0, _READY), (1, _REFUSED), (1, None), (0, _READY), (1, _READY)], ["refused", "ready"]),
    ],
)
def test_the_database_is_spoken_of_once(
    caplog: pytest.LogCaptureFixture, heard: list[tuple[int, Finding | None]], said: list[str]
) -> None:
    """The first worker's trouble with the database is logged once, and so is that all are ready again."""
    server_log = ServerLog(_ADDRESS, workers=2)
    with caplog.at_level(logging.INFO):
        for slot, found in heard:
            if found is None:
                server_log.worker_ended(slot)
            else:
                server_log.worker_found(slot, found)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(said)
    words = {"ready": "database: ready", "refused": ": refused ", "full": ": too many clients "}
    assert all(words[word] in line for word, line in zip(said, lines, strict=True))


def test_it_listens_when_all_do(caplog: pytest.LogCaptureFixture) -> None:
    """The server is logged as listening once, when all workers listen; later listeners log nothing."""
    server_log = ServerLog(_ADDRESS, workers=2)
    with caplog.at_level(logging.INFO):
        server_log.worker_listens(1)
        assert not server_log.has_started
        assert not caplog.records
        server_log.worker_listens(0)
        server_log.worker_ended(1)
        server_log.worker_listens(1)
    assert server_log.has_started
    (record,) = caplog.records
    assert record.getMessage().startswith("listening on 127.0.0.1:1: ")


def _supervisor(work: Callable[[int, socket.socket], int], *, stop_seconds: float = 60.0) -> Supervisor:
    server_log = ServerLog(_ADDRESS, workers=2)
    return Supervisor(
        SharedNumbers(2, 1), work, server_log, keep=(), stop_seconds=stop_seconds, tend=lambda: None
    )


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every fork fail."""

    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)


@pytest.mark.usefixtures("no_processes")
def test_a_fork_that_fails_leaves_nothing() -> None:
    """A fork that fails leaves no descriptor open, and signals are delivered again."""
    before = sorted(entry.name for entry in Path("/proc/self/fd").iterdir())
    with pytest.raises(BlockingIOError):
        Process.fork(lambda _line: 0)
    assert sorted(entry.name for entry in Path("/proc/self/fd").iterdir()) == before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}


@pytest.mark.usefixtures("no_processes")
def test_workers_that_cannot_be_forked() -> None:
    """If the first workers cannot be forked, the server logs the reason and ends."""
    supervisor = _supervisor(lambda _slot, _line: 0)
    with pytest.raises(WorkersError, match="worker 1 did not start: no process: Resource temporarily"):
        supervisor.run()


def _supervised(what: str) -> subprocess.Popen[str]:
    program = Path(__file__).with_name("supervised.py")
    return subprocess.Popen([sys.executable, program, what], stderr=subprocess.PIPE, text=True)


def test_a_start_that_never_listens_is_ended() -> None:
    """A server whose first workers never listen ends with the reason."""
    with _supervised("never listen") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.splitlines()[-1] == "Error: worker 1 did not listen within 0.2 seconds"


def test_a_worker_that_never_ends_is_killed() -> None:
    """A stop kills a worker that does not end."""
    with _supervised("never end") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "worker 1 did not end within 0.2 seconds: killing it" in said


def test_a_worker_that_never_answers_is_replaced() -> None:
    """A worker that has listened is asked repeatedly, and is replaced if it does not answer."""
    with _supervised("never answer") as process:
        assert process.stderr
        said = iter(process.stderr)
        assert any(line == "worker 1 did not answer within 0.2 seconds: killing it\n" for line in said)
        assert next(said) == "worker 1 died: another follows\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_an_error_of_tend_ends_the_server() -> None:
    """An error while the embedded Postgres is tended ends the workers and the server."""
    with _supervised("trouble outside") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.splitlines()[-1] == "Error: what is tended has failed"


def test_the_supervisor_expects_one_thing_at_a_time() -> None:
    """A worker is asked only when no answer or end is due, and an answer does not delay its end."""
    expectation = Expectation()
    expectation.fulfil()
    expectation.wait(2.0)
    assert expectation.is_ping_due
    expectation.expect("answer", 10.0)
    expectation.wait(9.9)
    assert not expectation.is_overdue
    expectation.wait(0.1)
    assert expectation.is_overdue
    expectation.fulfil()
    assert not expectation.is_overdue
    expectation.expect("end", 1.0)
    expectation.wait(1.0)
    expectation.fulfil()
    assert expectation.is_overdue
