"""Refuse the calls of tenants and users that have reached their limits of calls a second."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

from sessionhistory_server.errors import RateLimitedError

if TYPE_CHECKING:
    from sessionhistory_server.rpc.load.rates import Rates
    from sessionhistory_server.usecases.tenant_limits import HeldLimits

TENANT: Final = "tenant_requests_per_second"
USER: Final = "user_requests_per_second"


class RateLimits:
    """The limits of calls a second, and the counts of calls over all workers."""

    def __init__(self, limits: HeldLimits, rates: Rates) -> None:
        self._limits = limits
        self._rates = rates

    def check_tenant(self, tenant_id: str) -> None:
        """Check that a tenant may make one more call. The call is not counted.

        Raises:
            RateLimitedError: it may not.
        """
        self._check(TENANT, (tenant_id, None), self._limits.of(tenant_id).tenant_requests_per_second)

    def count(self, tenant_id: str, user_id: str | None) -> None:
        """Count a call. A refused call counts nowhere: a user beyond its limit takes nothing of its tenant's.

        Raises:
            RateLimitedError: the tenant or the user has reached its limit.
        """
        limits = self._limits.of(tenant_id)
        tenant, of_tenant = (tenant_id, None), limits.tenant_requests_per_second
        user, of_user = (tenant_id, user_id), limits.user_requests_per_second if user_id else None
        self._check(USER, user, of_user)
        self._check(TENANT, tenant, of_tenant)
        for key, maximum in ((tenant, of_tenant), (user, of_user)):
            if maximum is not None:
                self._rates.add(key)

    def _check(self, limit: str, key: tuple[str, str | None], maximum: int | None) -> None:
        if maximum is not None and not self._rates.has_room(key, maximum):
            raise RateLimitedError(limit, maximum, _retry_delay_seconds())


def _retry_delay_seconds() -> float:
    """Return the rest of this second, and up to another one: in it, the room for calls grows evenly."""
    return 1 - time.monotonic() % 1 + random.random()  # noqa: S311 - no secret
