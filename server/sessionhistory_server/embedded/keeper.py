"""Keep Postgres running: restart it when it has ended."""

from __future__ import annotations

import logging
import signal
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sessionhistory_server.embedded.server import PostgresServer

# If Postgres ends sooner after its start, the start has failed. After more failures in a row, the keeper
# gives up.
_STEADY_SECONDS: Final = 10.0
_MAX_FAILURES: Final = 5
_FIRST_DELAY_SECONDS: Final = 0.5
# The processes of a dead postmaster may quit within this time. Then the keeper kills them.
_QUIT_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


class Keeper:
    """A keeper of Postgres. Use it on the main thread: Postgres ends with the thread that started it.

    A killed backend needs no restart: Postgres recovers by itself, and its main process keeps running.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._process = server.start()
        self._started = time.monotonic()
        self._failures = 0
        self._ended: float | None = None
        """The time at which Postgres ended; `None` while it runs."""

    @property
    def url(self) -> str:
        """The URL of the database; the same after each start."""
        return self._server.url

    def wait(self) -> None:
        """Wait until Postgres is ready for the first time.

        Raises:
            EmbeddedPostgresError: Postgres does not become ready.
        """
        self._server.wait(self._process)

    def tend(self) -> None:
        """Restart Postgres if it has ended. Call this about once a second; it never waits.

        Postgres starts again once all processes of its predecessor have ended, and then it recovers. Both
        happen between calls.

        Raises:
            EmbeddedPostgresError: Postgres has ended too often, or cannot be started.
        """
        if self._ended is None and self._process.poll() is not None:
            self._note_end(self._process.returncode)
        if self._ended is not None:
            self._start_when_possible(time.monotonic() - self._ended)

    def stop(self) -> None:
        """Stop Postgres; do not restart it."""
        self._server.stop(self._process)

    def _note_end(self, code: int) -> None:
        now = time.monotonic()
        lived_long = now - self._started >= _STEADY_SECONDS
        self._failures = 1 if lived_long else self._failures + 1
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if self._failures > _MAX_FAILURES:
            failure = f"ended {self._failures} times in a row, the last time with {how}"
            raise self._server.failure(failure, self._server.log.cause())
        self._ended = now
        _log.error("the embedded Postgres ended (%s): starting it again", how)

    def _start_when_possible(self, gone_seconds: float) -> None:
        try:
            is_clear = self._server.clear(force=gone_seconds >= _QUIT_SECONDS)
            if is_clear and gone_seconds >= self._delay_seconds:
                self._process = self._server.start()
                self._started, self._ended = time.monotonic(), None
        except OSError as error:
            raise self._server.failure("cannot be started again", error.strerror or str(error)) from error

    @property
    def _delay_seconds(self) -> float:
        return 0.0 if self._failures == 1 else _FIRST_DELAY_SECONDS * 2 ** (self._failures - 2)
