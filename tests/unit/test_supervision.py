"""When workers are replaced, and what is said for all of them."""

from __future__ import annotations

import errno
import logging
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from sessionhistory_server.config import Address
from sessionhistory_server.slots import Slots
from sessionhistory_server.store.readiness import Finding, State
from sessionhistory_server.workers import place as places
from sessionhistory_server.workers.announcer import Announcer
from sessionhistory_server.workers.place import Place
from sessionhistory_server.workers.process import Process
from sessionhistory_server.workers.supervisor import Supervisor, WorkersError

_ADDRESS = Address("127.0.0.1", 1)


def _delays(monkeypatch: pytest.MonkeyPatch, lives_seconds: list[float]) -> list[float]:
    """Return how long a place stays empty after lives of a length."""
    now = 1_000.0
    monkeypatch.setattr(places, "time", SimpleNamespace(monotonic=lambda: now))
    place, delays = Place(0), []
    for life_seconds in lives_seconds:
        place.begin()
        now += life_seconds
        place.put_off()
        assert place.waits_seconds == pytest.approx(place.delay_seconds)
        delays.append(place.delay_seconds)
    return delays


def test_who_dies_young_is_replaced_later_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a tenth of a second, twice as long each time, to ten seconds; at once after a long life."""
    delays = _delays(monkeypatch, [1.0] * 9 + [10.0, 1.0])
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 0.0, 0.1])


_READY = Finding(State.READY)
_REFUSED = Finding(State.UNAVAILABLE, "refused")
_FULL = Finding(State.UNAVAILABLE, "too many clients")


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
    """Trouble is said when the first worker has it, ready when all are, and neither twice in a row."""
    announcer = Announcer(_ADDRESS, workers=2)
    with caplog.at_level(logging.INFO):
        for slot, found in heard:
            if found is None:
                announcer.ended(slot)
            else:
                announcer.database(slot, found)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(said)
    words = {"ready": "database: ready", "refused": ": refused ", "full": ": too many clients "}
    assert all(words[word] in line for word, line in zip(said, lines, strict=True))


def test_it_listens_when_all_do(caplog: pytest.LogCaptureFixture) -> None:
    """That is said once, whoever listens again later."""
    announcer = Announcer(_ADDRESS, workers=2)
    with caplog.at_level(logging.INFO):
        announcer.listening(1)
        assert not announcer.has_started
        assert not caplog.records
        announcer.listening(0)
        announcer.ended(1)
        announcer.listening(1)
    assert announcer.has_started
    (record,) = caplog.records
    assert record.getMessage().startswith("listening on 127.0.0.1:1: ")


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """There can be no more processes."""

    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)


@pytest.mark.usefixtures("no_processes")
def test_a_fork_that_fails_leaves_nothing() -> None:
    """No descriptor stays open, and signals come through again."""
    before = sorted(entry.name for entry in Path("/proc/self/fd").iterdir())
    with pytest.raises(BlockingIOError):
        Process.fork(lambda _line: 0)
    assert sorted(entry.name for entry in Path("/proc/self/fd").iterdir()) == before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}


@pytest.mark.usefixtures("no_processes")
def test_workers_that_cannot_be_forked() -> None:
    """When the first ones cannot be, it says why and gives up."""
    supervisor = Supervisor(Slots(2, 1), lambda _slot, _line: 0, Announcer(_ADDRESS, workers=2), keep=())
    with pytest.raises(WorkersError, match="worker 1 did not start: no process: Resource temporarily"):
        supervisor.run()
