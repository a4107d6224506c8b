"""Bound the calls in progress, and keep room for tenants with few calls."""

from __future__ import annotations

from typing import Final

_RESERVE: Final = 4
"""The reserve is one in this many of the maximum."""


class Bound:
    """A bound of the calls of a worker that wait or execute.

    Args:
        kind: The noun for the calls in errors.
        maximum: The calls of all tenants. Above it the reserve, a quarter more, is for calls of tenants that
            have less than an equal share of the maximum.
    """

    def __init__(self, kind: str, maximum: int) -> None:
        self.kind: Final = kind
        self.maximum: Final = maximum
        self._with_reserve = maximum + maximum // _RESERVE
        self._calls: dict[str, int] = {}
        """By tenant; without the tenants that have none."""
        self.total = 0

    def has_room(self, tenant_id: str) -> bool:
        """Return whether there is room for a call of a tenant."""
        return self.total < self.maximum or (
            self.total < self._with_reserve
            and self._calls.get(tenant_id, 0) * (len(self._calls) + 1) < self.maximum
        )

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
