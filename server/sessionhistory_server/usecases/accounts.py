"""The counts of tenants and users in the memory of a worker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sessionhistory_server.store.usage import NOTHING, Owner, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KNOWN_SECONDS: Final = 60.0
"""For how long a worker knows the counts of a tenant or user that it does not serve."""

_MAX_ACCOUNTS: Final = 200_000
"""Above this limit the worker keeps no more users: it neither limits them, nor notes their changes.

The next recount finds these. Callers choose the names of users, so that a caller could fill the memory.
"""


class Account:
    """The count of a tenant or user, and the changes of this worker that it does not include."""

    __slots__ = ("_stored", "read_at", "reserved", "seen_at", "unwritten")

    def __init__(self) -> None:
        self._stored = NOTHING
        self.unwritten = NOTHING
        """Changes that are committed, and not yet added to the count in the database."""
        self.reserved = NOTHING
        """The sessions and bytes that the calls in flight may add."""
        self.read_at = -KNOWN_SECONDS
        """When the count was read, by the monotonic clock."""
        self.seen_at = -KNOWN_SECONDS
        """When a call has last asked for the count."""

    @property
    def total(self) -> Usage:
        """The count with all changes that this worker knows of."""
        return self._stored.plus(self.unwritten).plus(self.reserved)

    @property
    def is_known(self) -> bool:
        """Whether the count was read lately."""
        return time.monotonic() - self.read_at < KNOWN_SECONDS

    @property
    def is_idle(self) -> bool:
        """Whether the account can be forgotten."""
        is_unused = time.monotonic() - self.seen_at >= KNOWN_SECONDS
        return is_unused and self.unwritten == NOTHING and self.reserved == NOTHING

    def know(self, stored: Usage) -> None:
        """Note the count as it was read."""
        self._stored = stored
        self.read_at = time.monotonic()

    def note_written(self, change: Usage) -> None:
        """Note that a change was added to the count in the database."""
        self.unwritten = self.unwritten.minus(change)
        self._stored = self._stored.plus(change)


class Accounts:
    """The accounts of tenants, by their ids, and of users, by ``Owner``."""

    def __init__(self) -> None:
        self._accounts: dict[str | Owner, Account] = {}
        self.changed: set[Owner] = set()
        """The users with changes that are not written."""
        self._seen: set[str | Owner] = set()
        """The accounts for which calls have asked since they were read."""
        self._forgotten_at = time.monotonic()

    def of(self, key: str | Owner) -> Account:
        """Return an account, which may be new. A new one of a user is not kept if there are too many."""
        account = self._accounts.get(key)
        if account is None:
            account = Account()
            if isinstance(key, str) or len(self._accounts) < _MAX_ACCOUNTS:
                self._accounts[key] = account
        return account

    def see(self, keys: Iterable[str | Owner]) -> list[Account]:
        """Return the accounts for which a call asks."""
        self._seen.update(keys)
        accounts = [self.of(key) for key in keys]
        now = time.monotonic()
        for account in accounts:
            account.seen_at = now
        return accounts

    def note(self, owner: Owner, change: Usage) -> None:
        """Note a committed change of a user's sessions."""
        if len(self._accounts) < _MAX_ACCOUNTS or owner in self._accounts:
            self.changed.add(owner)
            for key in (owner, owner.tenant_id):
                account = self.of(key)
                account.unwritten = account.unwritten.plus(change)

    def take_changed(self) -> list[Owner]:
        """Return the users with changes that are not written. The caller adds those that it cannot write."""
        changed, self.changed = self.changed, set()
        return list(changed)

    def note_written(self, changes: Mapping[Owner, Usage]) -> None:
        """Note that changes were added to the counts in the database."""
        for owner, change in changes.items():
            self.of(owner.tenant_id).note_written(change)
            self.of(owner).note_written(change)

    def take_seen(self) -> list[str | Owner]:
        """Return the accounts for which calls have asked since the last time."""
        seen, self._seen = self._seen, set()
        return list(seen)

    def forget_idle(self) -> None:
        """Forget the accounts that no call has used lately, if that was not done lately."""
        if time.monotonic() - self._forgotten_at >= KNOWN_SECONDS:
            self._forgotten_at = time.monotonic()
            for key in [key for key, account in self._accounts.items() if account.is_idle]:
                del self._accounts[key]
