"""The limits that operators set for tenants."""

from __future__ import annotations

from typing import Final, NamedTuple


class TenantLimits(NamedTuple):
    """The limits of a tenant, of each of its users, and of each of its sessions. ``None``: no limit."""

    tenant_requests_per_second: int | None = None
    user_requests_per_second: int | None = None
    tenant_sessions: int | None = None
    """Sessions that are not purged."""
    user_sessions: int | None = None
    session_messages: int | None = None
    """Messages that a session stores at the same time."""
    tenant_bytes: int | None = None
    """Bytes of messages and summaries in sessions that are not purged."""
    user_bytes: int | None = None


NO_LIMITS: Final = TenantLimits()

EVERY_TENANT: Final = ""
"""The name that stands for every tenant: such a limit holds for a tenant that has none of its own."""


class SetLimit(NamedTuple):
    """A limit as an operator has set it."""

    tenant_id: str
    """``EVERY_TENANT``, or the tenant whose own limit it is."""
    name: str
    """A field of ``TenantLimits``."""
    value: int | None
    """``None``: the tenant has no limit, even if every tenant has one."""
