"""Sign page tokens with keys that all servers of a database share."""

from __future__ import annotations

import asyncio
import hmac
import math
import secrets
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from sessionhistory_server.errors import UnavailableError
from sessionhistory_server.store import signing_keys

if TYPE_CHECKING:
    from sessionhistory_server.store.postgres.database import Database

MAX_AGE: Final = timedelta(days=30)
"""The age at which the signing key is replaced. It is accepted for as long again."""
SIGNATURE_BYTES: Final = 16

_FRESH_SECONDS: Final = 600.0
_RETRY_SECONDS: Final = 1.0
_SECRET_BYTES: Final = 32


class Signing:
    """The signatures of a worker. It reads the keys when it first needs them, and again every ten minutes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys: dict[int, bytes] = {}
        self._read_at = -math.inf
        self._reading = asyncio.Lock()

    async def newest(self) -> int:
        """Return the number of the key that signs now.

        Raises:
            SessionHistoryError: the keys cannot be read.
        """
        stale_since = time.monotonic() - _FRESH_SECONDS
        if self._read_at <= stale_since:
            await self._read(stale_since)
        return next(iter(self._keys))

    async def knows(self, number: int) -> bool:
        """Return whether there is a key of this number. Another server may just have made the next one.

        Raises:
            SessionHistoryError: the keys cannot be read.
        """
        if number == await self.newest() + 1:
            await self._read(time.monotonic())
        return number in self._keys

    def sign(self, number: int, data: bytes) -> bytes:
        """Return the signature of data with a known key."""
        return hmac.digest(self._keys[number], data, "sha256")[:SIGNATURE_BYTES]

    async def _read(self, before: float) -> None:
        """Read the keys if they were read before a time, and make a new key if none may sign.

        Concurrent calls share a read, and reads are a second apart, so that wrong tokens are no load.
        """
        async with self._reading:
            if self._read_at > before:
                return
            await asyncio.sleep(max(0.0, self._read_at + _RETRY_SECONDS - time.monotonic()))
            read_at = time.monotonic()
            keys, may_sign = await self._database.read(partial(signing_keys.read, max_age=MAX_AGE))
            if not may_sign:
                keys = await self._replace(keys)
            self._keys, self._read_at = keys, read_at

    async def _replace(self, keys: dict[int, bytes]) -> dict[int, bytes]:
        """Make a new key, and return the keys. An old key signs on while the database takes no writes."""
        secret = secrets.token_bytes(_SECRET_BYTES)
        try:
            await self._database.write(partial(signing_keys.make, secret=secret, max_age=MAX_AGE))
        except UnavailableError:
            if keys:
                return keys
            raise
        keys, _ = await self._database.read(partial(signing_keys.read, max_age=MAX_AGE))
        return keys
