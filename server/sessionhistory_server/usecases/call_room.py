"""The room that the limits leave for one call, and the part that the call has reserved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.errors import limit_reached
from sessionhistory_server.store.room import Room
from sessionhistory_server.store.usage import NOTHING, Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Self

    from sessionhistory_server.errors import LimitReachedError
    from sessionhistory_server.model.tenant_limits import TenantLimits
    from sessionhistory_server.usecases.accounts import Account


def are_counted(limits: TenantLimits) -> bool:
    """Return whether a tenant has limits that depend on counts of sessions or bytes."""
    _, _, tenant_sessions, user_sessions, _, tenant_bytes, user_bytes = limits
    return (tenant_sessions, user_sessions, tenant_bytes, user_bytes) != (None, None, None, None)


class CallRoom(Room):
    """The room for a call. Calls in flight of one worker together exceed no limit that it knows of.

    A write that goes on after its caller has gone has no reservation. A worker has at most one such write for
    each of its connections.

    Args:
        limits: The limits of the tenant.
        accounts: The account of the tenant, and that of the user unless it is not known; none if no limit
            depends on them.
        read: Reads the accounts.
        is_accepted: Whether the server has accepted the new messages and the session before.
    """

    def __init__(
        self,
        limits: TenantLimits,
        accounts: Sequence[Account],
        read: Callable[[], Awaitable[None]],
        *,
        is_accepted: bool,
    ) -> None:
        self.max_messages = limits.session_messages
        self._accounts = list(zip(("tenant", "user"), accounts, strict=False))
        self._limits = limits
        self._read = read
        self._is_accepted = is_accepted
        self.reserved = NOTHING

    async def __aenter__(self) -> Self:
        """Read the counts that the worker does not know."""
        if not all(account.is_known for _, account in self._accounts):
            await self._read()
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Give the reserved room back. The committed changes are noted by now."""
        for _, account in self._accounts:
            account.reserved = account.reserved.minus(self.reserved)

    def take_session(self) -> LimitReachedError | None:
        """Reserve a new session; return the error if a limit of sessions is reached."""
        return None if self.reserved.sessions else self._take("sessions", Usage(1, 0))

    def take_bytes(self, size_bytes: int) -> LimitReachedError | None:
        """Reserve bytes of new messages; return the error if a limit of bytes would be exceeded."""
        return self._take("bytes", Usage(0, size_bytes))

    def _take(self, name: str, change: Usage) -> LimitReachedError | None:
        if not self._accounts:
            return None
        if not self._is_accepted:
            for kind, account in self._accounts:
                limit = f"{kind}_{name}"
                maximum: int | None = getattr(self._limits, limit)
                if maximum is not None:
                    count: int = getattr(account.total, name)
                    if count + getattr(change, name) > maximum:
                        return limit_reached(limit, maximum, count)
        self.reserved = self.reserved.plus(change)
        for _, account in self._accounts:
            account.reserved = account.reserved.plus(change)
        return None
