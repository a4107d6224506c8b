"""The rates of calls: their counts over several workers, and their limits."""

from __future__ import annotations

import os
from typing import Any

import pytest

from sessionhistory_server.errors import RateLimitedError
from sessionhistory_server.model.tenant_limits import NO_LIMITS, TenantLimits
from sessionhistory_server.observability.shared_memory import SharedIntegers
from sessionhistory_server.rpc.load.rate_limits import RateLimits
from sessionhistory_server.rpc.load.rates import NUMBERS, Rates


class _Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class _Limits:
    """Limits of one tenant."""

    def __init__(self, tenant_id: str, limits: TenantLimits) -> None:
        self._own = {tenant_id: limits}

    def of(self, tenant_id: str) -> TenantLimits:
        return self._own.get(tenant_id, NO_LIMITS)


def _passed(rates: Rates, key: object, limit: int, calls: int) -> int:
    """Make calls, and return the number of those that pass."""
    passed = 0
    for _ in range(calls):
        if rates.has_room(key, limit):
            rates.add(key)
            passed += 1
    return passed


@pytest.fixture
def clock() -> _Clock:
    """A clock."""
    return _Clock()


def test_as_many_calls_pass_in_a_second_as_the_limit(clock: _Clock) -> None:
    """After a second with as many calls, room for calls returns evenly with the time."""
    rates = Rates(SharedIntegers(1, NUMBERS), 0, clock)
    assert _passed(rates, "a", 10, 100) == 10
    assert _passed(rates, "b", 10, 3) == 3
    clock.now += 1
    assert _passed(rates, "a", 10, 100) == 0
    assert _passed(rates, "b", 10, 100) == 7
    passed = 0
    for _ in range(9):
        clock.now += 0.1
        passed += _passed(rates, "a", 10, 100)
    assert passed in {9, 10}  # the room is rounded up
    clock.now += 2
    assert _passed(rates, "a", 10, 100) == 10


def test_a_limit_of_one_lets_one_call_through_each_second(clock: _Clock) -> None:
    """The second before does not take the only place of this one."""
    rates = Rates(SharedIntegers(1, NUMBERS), 0, clock)
    clock.now += 0.5
    for _ in range(5):
        assert _passed(rates, "a", 1, 3) == 1
        clock.now += 1


def test_workers_count_together(clock: _Clock) -> None:
    """All workers of a server have one limit, and each sees the counts of processes."""
    shared = SharedIntegers(3, NUMBERS)
    child = os.fork()
    if not child:
        _passed(Rates(shared, 2, clock), ("tenant", "user"), 100, 40)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    workers = [Rates(shared, number, clock) for number in range(2)]
    assert sum(_passed(workers[number % 2], ("tenant", "user"), 100, 1) for number in range(300)) == 60


def test_other_keys_hardly_ever_take_room(clock: _Clock) -> None:
    """With a thousand keys in the same second, a key has all of its room."""
    rates = Rates(SharedIntegers(1, NUMBERS), 0, clock)
    for number in range(1_000):
        rates.add(("other", number))
    short = sum(_passed(rates, ("mine", number), 2, 2) < 2 for number in range(1_000))
    assert short <= 10


def test_a_call_that_is_refused_counts_nowhere() -> None:
    """A user beyond its limit takes nothing from its tenant."""
    limits: Any = _Limits("t", TenantLimits(tenant_requests_per_second=3, user_requests_per_second=2))
    rates = RateLimits(limits, Rates(SharedIntegers(1, NUMBERS), 0, _Clock()))
    for _ in range(2):
        rates.count("t", "u")
    for _ in range(3):
        with pytest.raises(RateLimitedError) as refused:
            rates.count("t", "u")
        assert refused.value.metadata["limit"] == "user_requests_per_second"
    rates.check_tenant("t")
    rates.count("t", None)
    with pytest.raises(RateLimitedError) as refused:
        rates.count("t", "v")
    assert refused.value.metadata == {"limit": "tenant_requests_per_second", "max": "3"}
    assert 0 < refused.value.retry_delay_seconds < 2
    with pytest.raises(RateLimitedError):
        rates.check_tenant("t")
    rates.check_tenant("other")
    rates.count("other", "u")
