"""All API keys that are not revoked, in the memory of a worker."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.credentials.identity import Identity

if TYPE_CHECKING:
    from sessionhistory_server.credentials.api_keys import ParsedKey


NO_HASH: Final = bytes(32)
"""The hash of no secret. It is as long as the others, so that each comparison takes as long."""


class HeldKey(NamedTuple):
    """A key as a ring holds it."""

    identity: Identity
    secret_hash: bytes
    """``NO_HASH`` if the key is the registered name of certificates."""
    previous_hash: bytes
    """The hash of the secret before the last rotation, or ``NO_HASH``."""
    previous_expire_time: float
    """Until when that secret is accepted, in seconds since the Unix epoch."""


_UNKNOWN: Final = HeldKey(Identity("", frozenset(), None, None, False, None, 0.0), NO_HASH, NO_HASH, 0.0)  # noqa: FBT003 - a tuple


class KeyRing:
    """The keys of a database by their ids."""

    def __init__(self) -> None:
        self._keys: dict[str, HeldKey] = {}

    def find(self, sought: ParsedKey, now: float) -> Identity | None:
        """Return the identity of a key's holder; ``None``: no such key, or another secret.

        The identity may have expired. An unknown id takes as long as a known one with another secret.

        Args:
            sought: The key.
            now: The time, in seconds since the Unix epoch.
        """
        held = self._keys.get(sought.key_id, _UNKNOWN)
        is_current = compare_digest(sought.secret_hash, held.secret_hash)
        is_previous = compare_digest(sought.secret_hash, held.previous_hash)
        if is_current and held is not _UNKNOWN:
            return held.identity
        if is_previous and now < held.previous_expire_time:
            end = min(held.identity.expire_time, held.previous_expire_time)
            return held.identity._replace(expire_time=end)
        return None

    def put(self, key_id: str, held: HeldKey) -> None:
        """Add a key, or replace it."""
        self._keys[key_id] = held

    def remove(self, key_id: str) -> None:
        """Remove a key if the ring has it."""
        self._keys.pop(key_id, None)
