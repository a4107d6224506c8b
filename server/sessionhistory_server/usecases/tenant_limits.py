"""The limits of all tenants, in the memory of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.model.tenant_limits import EVERY_TENANT, NO_LIMITS, TenantLimits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessionhistory_server.model.tenant_limits import SetLimit


class HeldLimits:
    """The limits of all tenants. To ask for those of a tenant reads nothing."""

    def __init__(self) -> None:
        self._every = NO_LIMITS
        self._own: dict[str, TenantLimits] = {}

    def of(self, tenant_id: str) -> TenantLimits:
        """Return the limits of a tenant: each its own, or else that of every tenant."""
        return self._own.get(tenant_id, self._every)

    def replace_all(self, limits: Iterable[SetLimit]) -> None:
        """Replace all limits at once. Names that only a later release knows are left out."""
        by_tenant: dict[str, dict[str, int | None]] = {}
        for tenant_id, name, value in limits:
            if name in TenantLimits._fields:
                by_tenant.setdefault(tenant_id, {})[name] = value
        every = NO_LIMITS._replace(**by_tenant.pop(EVERY_TENANT, {}))
        self._own = {tenant_id: every._replace(**own) for tenant_id, own in by_tenant.items()}
        self._every = every
