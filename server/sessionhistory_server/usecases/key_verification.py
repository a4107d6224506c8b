"""Verify API keys in memory, and keep the memory of a worker like the database."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from sessionhistory_server.credentials import api_keys as key_text
from sessionhistory_server.credentials.identity import Identity
from sessionhistory_server.credentials.key_ring import HeldKey, KeyRing
from sessionhistory_server.errors import (
    SessionHistoryError,
    UnavailableError,
    credentials_expired,
    credentials_invalid,
)
from sessionhistory_server.store import api_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory_server.store.api_keys import ChangedKey, CredentialState
    from sessionhistory_server.store.postgres.database import Database

REFRESH_SECONDS: Final = 2.0
USES_SECONDS: Final = 60.0
"""How often the last uses of keys are stored."""

_UNKNOWN_SECONDS: Final = 1.0
"""The minimum time between reads for keys that the worker does not know."""
_MAX_WAITING: Final = 64
"""The maximum number of calls that wait for such a read."""
_USES_AT_ONCE: Final = 1_000


class KeyVerifier:
    """A verifier of API keys. It holds all keys in memory, so a call with a known key reads nothing.

    An unknown key, a wrong secret and a revoked key are treated alike: the verifier looks for changes in the
    database, at most once a second, and then refuses the call.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ring = KeyRing()
        self._state: CredentialState | None = None
        self._refreshing = asyncio.Lock()
        self._refreshed_at = -math.inf
        self._failure: SessionHistoryError | None = None
        self._waiting = 0
        self._uses: dict[str, float] = {}
        """By the ids of keys: the time of the last use since they were stored."""

    def find(self, text: str) -> Identity | None:
        """Return the identity of a key's holder; ``None``: the key is not known.

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

    async def look_up(self, text: str) -> Identity:
        """Return the identity of the holder of a key that may have been created just now.

        Raises:
            UnauthenticatedError: the key is unknown or revoked, has expired, or has another secret.
            UnavailableError: the keys cannot be read.
        """
        if key_text.parse(text) is None or not key_text.is_intact(text):
            raise credentials_invalid()
        await self._refresh_for_unknown()
        identity = self.find(text)
        if identity is None:
            raise credentials_invalid()
        return identity

    async def run(self, on_refresh: Callable[[], None]) -> None:
        """Refresh the keys every two seconds, and store their last uses every minute, until cancelled.

        Args:
            on_refresh: Called after each attempt to refresh.
        """
        stored_at = time.monotonic()
        while True:
            with suppress(SessionHistoryError):
                async with self._refreshing:
                    await self._refresh()
            on_refresh()
            if time.monotonic() - stored_at >= USES_SECONDS:
                stored_at = time.monotonic()
                with suppress(SessionHistoryError):
                    await self.store_uses()
            await asyncio.sleep(REFRESH_SECONDS)  # no event reports a change of the database

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

    async def _refresh_for_unknown(self) -> None:
        """Wait for a refresh that begins from now on. All calls that wait share it."""
        if self._waiting >= _MAX_WAITING:
            raise credentials_invalid()
        asked_at = time.monotonic()
        self._waiting += 1
        try:
            async with self._refreshing:
                if self._refreshed_at < asked_at:
                    if self._failure is None:
                        again_at = self._refreshed_at + _UNKNOWN_SECONDS
                        await asyncio.sleep(max(0.0, again_at - time.monotonic()))
                    await self._refresh()
                elif self._failure is not None:
                    raise UnavailableError(str(self._failure), reason=self._failure.reason)
        finally:
            self._waiting -= 1

    async def _refresh(self) -> None:
        self._refreshed_at = time.monotonic()
        try:
            found = await self._database.read(api_keys.state)
            held = self._state
            if held is None or held.server_start != found.server_start or found.generation < held.generation:
                generation = await self._read_all()
            else:
                generation = await self._read_changes(held, found)
            self._state = found._replace(generation=max(generation, found.generation))
            self._failure = None
        except SessionHistoryError as error:
            self._failure = error.with_traceback(None)
            raise

    async def _read_all(self) -> int:
        """Replace all keys, and return the last generation that was read."""
        keys: dict[str, HeldKey] = {}
        generation, changes = 0, await self._changes_after(0)
        while changes:
            keys.update((each.api_key_id, _held(each)) for each in changes if not each.is_revoked)
            generation = changes[-1].generation
            changes = await self._changes_after(generation)
        self._ring.replace_all(keys.items())
        return generation

    async def _read_changes(self, held: CredentialState, found: CredentialState) -> int:
        """Apply the changes since the last refresh, and return the last generation that was read."""
        generation = held.generation
        while generation < found.generation and (changes := await self._changes_after(generation)):
            for each in changes:
                if each.is_revoked:
                    self._ring.remove(each.api_key_id)
                else:
                    self._ring.put(each.api_key_id, _held(each))
            generation = changes[-1].generation
        return generation

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
    return HeldKey(
        identity, key.secret_hash, key.previous_secret_hash, key.previous_secret_expire_time or 0.0
    )
