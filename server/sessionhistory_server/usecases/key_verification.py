"""Verify API keys in memory."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from sessionhistory_server.credentials import api_keys as key_text
from sessionhistory_server.credentials.identity import Identity
from sessionhistory_server.credentials.key_ring import NO_HASH, HeldKey, KeyRing
from sessionhistory_server.errors import SessionHistoryError, credentials_expired
from sessionhistory_server.store import api_keys

if TYPE_CHECKING:
    from sessionhistory_server.store.api_keys import ChangedKey
    from sessionhistory_server.store.postgres.database import Database

USES_SECONDS: Final = 60.0
"""How often the last uses of keys are stored."""

_USES_AT_ONCE: Final = 1_000


class KeyVerifier:
    """A verifier of API keys. It holds all keys in memory, so a call with a known key reads nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ring = KeyRing()
        self._uses: dict[str, float] = {}
        """By the ids of keys: the time of the last use since they were stored."""
        self._stored_at = time.monotonic()

    def find(self, text: str) -> Identity | None:
        """Return the identity of a key's holder; ``None``: the key is not known.

        An unknown key, a wrong secret and a revoked key are treated alike.

        Raises:
            UnauthenticatedError: the key has expired.
        """
        parsed = key_text.parse(text)
        if parsed is None:
            return None
        now = time.time()
        identity = self._ring.find(parsed, now)
        if identity is not None:
            if identity.expire_time <= now:
                raise credentials_expired()
            self._uses[parsed.key_id] = now
        return identity

    @staticmethod
    def may_exist(text: str) -> bool:
        """Return whether the text has the form of a key, and is not mistyped."""
        return key_text.parse(text) is not None and key_text.is_intact(text)

    async def read_all(self) -> None:
        """Replace all keys in memory."""
        keys: dict[str, HeldKey] = {}
        changes = await self._changes_after(0)
        while changes:
            keys.update((each.api_key_id, _held(each)) for each in changes if not each.is_revoked)
            changes = await self._changes_after(changes[-1].generation)
        self._ring.replace_all(keys.items())

    async def read_changes(self, after: int) -> None:
        """Apply the changes after a generation."""
        while changes := await self._changes_after(after):
            for each in changes:
                if each.is_revoked:
                    self._ring.remove(each.api_key_id)
                else:
                    self._ring.put(each.api_key_id, _held(each))
            after = changes[-1].generation

    async def store_due_uses(self) -> None:
        """Store the last uses of keys if that was not done in the last minute.

        Raises:
            SessionHistoryError: the database cannot be written.
        """
        if time.monotonic() - self._stored_at >= USES_SECONDS:
            self._stored_at = time.monotonic()
            await self.store_uses()

    async def store_uses(self) -> None:
        """Store the last uses of keys.

        Raises:
            SessionHistoryError: the database cannot be written. The uses are kept for the next time.
        """
        uses, self._uses = sorted(self._uses.items()), {}
        while uses:
            some = dict(uses[:_USES_AT_ONCE])
            try:
                await self._database.write(partial(api_keys.note_uses, uses=some))
            except SessionHistoryError:
                self._uses = dict(uses) | self._uses
                raise
            uses = uses[_USES_AT_ONCE:]

    async def _changes_after(self, generation: int) -> list[ChangedKey]:
        return await self._database.read(partial(api_keys.changed, after=generation))


def _held(key: ChangedKey) -> HeldKey:
    identity = Identity(
        key.tenant_id,
        frozenset(key.scopes),
        key.user_id,
        key.application_id,
        key.require_user_id,
        key.api_key_id,
        math.inf if key.expire_time is None else key.expire_time,
    )
    previous_hash = key.previous_secret_hash or NO_HASH
    return HeldKey(identity, key.secret_hash, previous_hash, key.previous_secret_expire_time or 0.0)
