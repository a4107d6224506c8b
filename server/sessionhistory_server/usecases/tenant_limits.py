"""The limits of tenants: in the memory of a worker, and as an operator manages them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sessionhistory_server.model.tenant_limits import EVERY_TENANT, NO_LIMITS, TenantLimits
from sessionhistory_server.store import tenant_limits

if TYPE_CHECKING:
    from sessionhistory_server.store.postgres.database import Database


class HeldLimits:
    """The limits of all tenants, a copy of the table, which ``Following`` refreshes.

    To ask for those of a tenant reads nothing. Before the first read, there are none.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._every = NO_LIMITS
        self._own: dict[str, TenantLimits] = {}

    def of(self, tenant_id: str) -> TenantLimits:
        """Return the limits of a tenant: each its own, or else that of every tenant."""
        return self._own.get(tenant_id, self._every)

    async def read_all(self) -> None:
        """Replace all limits in memory. Names that only a later release knows are left out."""
        by_tenant: dict[str, dict[str, int | None]] = {}
        for tenant_id, name, value in await self._database.read(tenant_limits.read):
            if name in TenantLimits._fields:
                by_tenant.setdefault(tenant_id, {})[name] = value
        every = NO_LIMITS._replace(**by_tenant.pop(EVERY_TENANT, {}))
        self._own = {tenant_id: every._replace(**own) for tenant_id, own in by_tenant.items()}
        self._every = every

    async def read_changes(self, after: int) -> None:
        """Replace all limits in memory if one has changed after a generation."""
        if await self._database.read(partial(tenant_limits.have_changed, after=after)):
            await self.read_all()
