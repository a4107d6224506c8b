"""The bound of calls in progress, and its reserve."""

from __future__ import annotations

import pytest

from sessionhistory_server.errors import RefusedCallError
from sessionhistory_server.rpc.load.bound import Bound


def _enter(bound: Bound, tenant: str, most: int = 1_000) -> int:
    """Let calls of a tenant enter until one is refused; return how many have."""
    for count in range(most):
        try:
            bound.check(tenant)
        except RefusedCallError:
            return count
        bound.enter(tenant)
    return most


def test_a_lone_tenant_may_use_all_but_the_reserve() -> None:
    """The reserve is for tenants with less than an equal share."""
    bound = Bound("calls", 100)
    assert _enter(bound, "flood") == 100
    with pytest.raises(RefusedCallError, match="100 calls"):
        bound.check("flood")


def test_one_tenant_does_not_take_the_whole_reserve() -> None:
    """Each leaves half of the free places to the next one."""
    bound = Bound("calls", 100)
    tenants = ("flood", "second", "third", "fourth", "fifth", "sixth")
    assert [_enter(bound, tenant) for tenant in tenants] == [100, 13, 6, 3, 2, 1]
    assert bound.total == 125


def test_the_reserve_serves_many_tenants() -> None:
    """With more tenants, each has a smaller share of it."""
    bound = Bound("calls", 8)
    assert _enter(bound, "a", 4) == 4
    assert _enter(bound, "b") == 4
    assert _enter(bound, "a") == 0
    assert _enter(bound, "c", 1) == 1
    assert _enter(bound, "d") == 1


def test_calls_that_have_ended_leave_nothing() -> None:
    """A place is free again, and a tenant without calls is forgotten."""
    bound = Bound("calls", 1)
    with bound.enter("a"), pytest.raises(RefusedCallError):
        bound.check("b")
    bound.check("b")
    assert (bound.total, bound._calls) == (0, {})  # noqa: SLF001 - the memory of tenants that have gone
