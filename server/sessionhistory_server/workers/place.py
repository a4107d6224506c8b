"""A worker's place: workers come and go in it, one after the other."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sessionhistory_server.workers.process import Process

# Who dies sooner than that after its start is replaced later, and later each time.
_STEADY_SECONDS: Final = 10.0
_FIRST_DELAY_SECONDS: Final = 0.1
_MAX_DELAY_SECONDS: Final = 10.0


@dataclass
class Place:
    """What is known of a worker, or of when the next will come."""

    slot: int
    process: Process | None = None
    has_listened: bool = False
    """Whether this worker, or the last one, was ready for calls."""
    failure: str = ""
    """Why it cannot be, as it says."""
    delay_seconds: float = 0.0
    """How long there was nobody before it, or will be."""
    _started: float = 0.0
    _due: float | None = 0.0

    @property
    def number(self) -> int:
        """What the worker is called in logs."""
        return self.slot + 1

    @property
    def is_empty(self) -> bool:
        """Whether there is no worker, and none will come."""
        return self.process is None and self._due is None

    @property
    def waits_seconds(self) -> float | None:
        """How long until the next worker is to start; ``None``: none is."""
        return None if self._due is None else max(0.0, self._due - time.monotonic())

    def begin(self) -> None:
        """A worker is being started."""
        self._due, self._started = None, time.monotonic()
        self.has_listened, self.failure = False, ""

    def put_off(self) -> None:
        """The worker has died, and another is to start: at once, unless this one died young."""
        now = time.monotonic()
        if now - self._started >= _STEADY_SECONDS:
            self.delay_seconds = 0.0
        else:
            self.delay_seconds = min(max(self.delay_seconds * 2, _FIRST_DELAY_SECONDS), _MAX_DELAY_SECONDS)
        self._due = now + self.delay_seconds

    def stop(self) -> None:
        """No worker is to start any more."""
        self._due = None
