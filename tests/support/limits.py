"""Set limits of tenants for a running service."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sessionhistory_server.model.tenant_limits import EVERY_TENANT
from sessionhistory_server.store import tenant_limits

if TYPE_CHECKING:
    from support.service import Service


async def limit(service: Service, tenant_id: str = EVERY_TENANT, **limits: int | None) -> None:
    """Set limits, which the service applies at once."""
    app = service.app
    change = partial(tenant_limits.set_limits, tenant_id=tenant_id, limits=limits)
    await app._database.write(change)  # noqa: SLF001 - no call sets limits
    assert app._limits is not None  # noqa: SLF001 - else the service has no limits
    await app._limits.read_all()  # noqa: SLF001 - else the test would wait for seconds


async def write_counts(service: Service) -> None:
    """Write the counts of a service, and read those that it uses, as it does every second."""
    metering = service.app._use_cases.metering  # noqa: SLF001 - else the test would wait for seconds
    await metering.write()
    await metering.refresh()
