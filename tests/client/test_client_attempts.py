"""The waits of a client between the attempts of a call."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import grpc
import pytest

from sessionhistory._transport import retry
from sessionhistory._transport.retry import Attempts
from sessionhistory.errors import PoolExhaustedError, SessionHistoryError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        """Return the time, in seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the attempts."""
    clock = Clock()
    monkeypatch.setattr(retry, "time", clock)
    return clock


def gone(retry_delay_seconds: float | None = None) -> SessionHistoryError:
    """Return the error of a service that is unavailable."""
    return UnavailableError("gone", code=grpc.StatusCode.UNAVAILABLE, retry_delay_seconds=retry_delay_seconds)


def delays(attempts: Attempts, count: int, retry_delay_seconds: float | None = None) -> list[float | None]:
    """Return the first waits of a call."""
    return [attempts.delay(gone(retry_delay_seconds)) for _ in range(count)]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_waits_grow(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Waits double from 0.1 to 2 seconds; each is random between half of that and all of it."""
    picks: dict[float, Callable[[float, float], float]] = {0.5: min, 1.0: max}
    monkeypatch.setattr(random, "uniform", picks[share])
    waits = delays(Attempts(100, repeatable=True), 8)
    assert waits == pytest.approx([share * each for each in (0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0)])


@pytest.mark.usefixtures("clock")
def test_waits_differ() -> None:
    """Clients that lost a service at the same time retry at different times."""
    assert len({Attempts(100, repeatable=True).delay(gone()) for _ in range(100)}) > 90


@pytest.mark.usefixtures("clock")
def test_the_service_is_given_the_time_it_asks_for() -> None:
    """A wait is never shorter than ``RetryInfo``; the client's own waits grow meanwhile."""
    attempts = Attempts(100, repeatable=True)
    assert delays(attempts, 4, 1.5) == [1.5] * 4
    later = attempts.delay(gone())
    assert later
    assert 0.8 <= later <= 1.6


def test_the_deadline_is_shared(clock: Clock) -> None:
    """All attempts and waits end by the deadline; no wait leaves less than 0.1 seconds for an attempt."""
    attempts = Attempts(10, repeatable=True)
    assert attempts.remaining_seconds == 10
    assert attempts.delay(gone(9.875)) == 9.875
    assert attempts.delay(gone(9.95)) is None
    clock.now += 7
    assert attempts.remaining_seconds == 3
    assert attempts.delay(gone(2.875)) == 2.875
    assert attempts.delay(gone(2.95)) is None
    clock.now += 4
    assert attempts.remaining_seconds == 0
    assert attempts.delay(gone()) is None


@pytest.mark.usefixtures("clock")
def test_what_may_not_be_repeated_is_not() -> None:
    """A call that must not be repeated is retried only if the service has done nothing."""
    attempts = Attempts(10, repeatable=False)
    assert attempts.delay(gone(0)) is None
    assert attempts.delay(PoolExhaustedError("busy", code=grpc.StatusCode.RESOURCE_EXHAUSTED))


def test_the_last_wait_leaves_time_for_an_attempt(clock: Clock) -> None:
    """The last wait is shortened, unless the service asks for more time than is left."""
    attempts = Attempts(10, repeatable=True)
    delays(attempts, 10)
    clock.now += 9.5
    assert attempts.delay(gone(1.0)) is None
    assert attempts.delay(gone()) == pytest.approx(0.4)
    clock.now += 0.41
    assert attempts.delay(gone()) is None
