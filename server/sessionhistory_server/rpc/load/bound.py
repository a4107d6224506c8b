"""Bound the calls in progress, and keep room for tenants with few calls."""

from __future__ import annotations

from typing import Final

from sessionhistory_server.errors import too_many_calls

_RESERVE: Final = 4
"""The reserve is one in this many of the maximum."""


class Bound:
    """A bound of the calls of a worker that wait or execute.

    Args:
        kind: The noun for the calls in errors.
        maximum: The calls of all tenants. Above it the reserve, a quarter more, is for calls of tenants that
            have less than an equal share of the maximum, and fewer calls than the reserve has room for.
    """

    def __init__(self, kind: str, maximum: int) -> None:
        self.kind: Final = kind
        self.maximum: Final = maximum
        self._with_reserve = maximum + maximum // _RESERVE
        self._calls: dict[str, int] = {}
        """By tenant; without the tenants that have none."""
        self.total = 0

    def check(self, tenant_id: str) -> None:
        """Check that there is room for a call of a tenant.

        Raises:
            RefusedCallError: there is none.
        """
        if self.total >= self.maximum and not self._may_use_reserve(tenant_id):
            raise too_many_calls(self.maximum, self.kind)

    def enter(self, tenant_id: str) -> Admission:
        """Count a call of a tenant, for which there is room; return its admission."""
        self._calls[tenant_id] = self._calls.get(tenant_id, 0) + 1
        self.total += 1
        return Admission(self, tenant_id)

    def leave(self, tenant_id: str) -> None:
        """Count a call of a tenant as ended."""
        self.total -= 1
        calls = self._calls[tenant_id] - 1
        if calls:
            self._calls[tenant_id] = calls
        else:
            del self._calls[tenant_id]

    def _may_use_reserve(self, tenant_id: str) -> bool:
        calls = self._calls.get(tenant_id, 0)
        # Fewer calls than are free: the next tenant finds room, too.
        return calls < self._with_reserve - self.total and calls * (len(self._calls) + 1) < self.maximum


class Admission:
    """The admission of one call, which ends with the block."""

    __slots__ = ("_bound", "_tenant_id")

    def __init__(self, bound: Bound, tenant_id: str) -> None:
        self._bound = bound
        self._tenant_id = tenant_id

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._bound.leave(self._tenant_id)
