"""Keep the keys of an issuer of tokens up to date, without blocking the event loop."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sessionhistory_server.credentials.errors import token_keys_unavailable, too_many_unknown_credentials
from sessionhistory_server.credentials.jwks import Jwks, JwksError
from sessionhistory_server.credentials.jwks_source import FETCH_SECONDS

if TYPE_CHECKING:
    from collections.abc import Collection

    from sessionhistory_server.credentials.jwks_source import JwksSource

_MAX_AGE_SECONDS: Final = 24 * 3_600.0
"""How long the last keys are used while no others can be read."""
_RETRY_SECONDS: Final = 30.0
_MAX_WAITING: Final = 64
"""The maximum number of calls that wait for keys."""

_log = logging.getLogger(__name__)


class JwksKeeper:
    """A keeper of an issuer's keys. If they cannot be read, the last ones stay in use for a day.

    Args:
        source: The file or the URL of the keys.
        allowed: Some of ``ALGORITHMS``.
    """

    def __init__(self, source: JwksSource, allowed: Collection[str]) -> None:
        self._source = source
        self._allowed = allowed
        self._keys: Jwks | None = None
        self._read_at = -math.inf
        self._began_at = -math.inf
        self._has_failed = False
        self._refreshing: asyncio.Task[None] | None = None
        self._has_reader = False
        """Whether a thread reads the keys. It may go on after the wait for it has ended."""
        self._waiting = 0

    @property
    def keys(self) -> Jwks | None:
        """The keys, which are another object after each change; ``None``: there are none to be used."""
        return self._keys if time.monotonic() - self._read_at < _MAX_AGE_SECONDS else None

    async def refresh_if_due(self) -> None:
        """Read the keys if the last ones are older than the source allows."""
        longest = _RETRY_SECONDS if self._has_failed else math.inf
        if time.monotonic() - self._began_at >= min(self._source.refresh_seconds, longest):
            await self._refresh()

    async def refresh_for_unknown(self) -> None:
        """Read the keys for a token that names an unknown one, unless they were read just now.

        All calls that wait share one read, which ends even if each of them is cancelled.

        Raises:
            UnavailableError: the keys cannot be read.
            ResourceExhaustedError: too many calls wait for them.
        """
        if self._waiting >= _MAX_WAITING:
            raise too_many_unknown_credentials()
        self._waiting += 1
        try:
            if self._refreshing or time.monotonic() - self._began_at >= self._source.unknown_seconds:
                await self._refresh()
        finally:
            self._waiting -= 1
        if self._has_failed or self.keys is None:
            raise token_keys_unavailable()

    async def close(self) -> None:
        """End a read that is not finished."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait((self._refreshing,))

    async def _refresh(self) -> None:
        if self._refreshing is None:
            self._began_at = time.monotonic()
            self._refreshing = asyncio.create_task(self._read())
            self._refreshing.add_done_callback(self._ended)
        # Neither a call that is cancelled ends the read for others, nor a read that is cancelled their calls.
        await asyncio.wait((self._refreshing,))

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._refreshing = None

    async def _read(self) -> None:
        try:
            found = await self._read_in_thread()
        except JwksError as error:
            if not self._has_failed:
                _log.warning("--jwt-jwks %s: tokens are verified with the last keys, if any", error)
            self._has_failed = True
            return
        if self._has_failed or found is not self._keys:
            _log.info("the keys that verify tokens were read")
        self._has_failed = False
        self._keys, self._read_at = found, time.monotonic()

    async def _read_in_thread(self) -> Jwks:
        """Read and parse the keys in a thread, and wait for a limited time.

        The thread is not one of the event loop's, because the loop waits for these when the process ends.

        Raises:
            JwksError: the keys cannot be read in this time, or cannot be used.
        """
        if self._has_reader:
            raise JwksError("is still being read, since the last attempt")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Jwks] = loop.create_future()

        def read() -> None:
            result = self._load()
            self._has_reader = False
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_finish, future, result)

        self._has_reader = True
        try:
            threading.Thread(target=read, name="jwks", daemon=True).start()
        except RuntimeError:
            self._has_reader = False
            raise JwksError("cannot be read: the system has no thread left") from None
        try:
            return await asyncio.wait_for(future, FETCH_SECONDS)
        except TimeoutError:
            raise JwksError(f"cannot be read within {FETCH_SECONDS:g} seconds") from None

    def _load(self) -> Jwks | JwksError:
        try:
            data, known = self._source.read(), self._keys
            return known if known is not None and known.data == data else Jwks(data, self._allowed)
        except JwksError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the waiting task would never end
            return JwksError(f"cannot be read ({type(error).__name__})")


def _finish(future: asyncio.Future[Jwks], result: Jwks | JwksError) -> None:
    if future.done():
        return
    if isinstance(result, JwksError):
        future.set_exception(result)
    else:
        future.set_result(result)
