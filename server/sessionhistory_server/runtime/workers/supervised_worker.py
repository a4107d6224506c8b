"""A worker of the supervisor, with the processes that are started for it one after another."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sessionhistory_server.runtime.workers.expectation import Expectation

if TYPE_CHECKING:
    from sessionhistory_server.runtime.workers.process import Process

# A process that dies sooner after its start is replaced after a delay, which grows with each such death.
_STEADY_SECONDS: Final = 10.0
_FIRST_DELAY_SECONDS: Final = 0.1
_MAX_DELAY_SECONDS: Final = 10.0
# A worker that has listened can start. So its death has another cause, such as a request that ends the
# server.
_MAX_DELAY_ONCE_LISTENED_SECONDS: Final = 1.0


@dataclass
class SupervisedWorker:
    """A worker: its current process, or the time of its next start."""

    index: int
    process: Process | None = None
    has_listened: bool = False
    """Whether the current process, or the last one, has listened."""
    failure: str = ""
    """The reason why the worker cannot serve, from the process or from the supervisor."""
    expectation: Expectation = field(default_factory=Expectation)
    """The action that the supervisor expects of the process."""
    delay_seconds: float = 0.0
    """The delay between the last process and the next one."""
    _started: float = 0.0
    _due: float | None = 0.0

    @property
    def number(self) -> int:
        """The number of the worker in logs."""
        return self.index + 1

    @property
    def is_finished(self) -> bool:
        """Whether the worker has no process, and none will be started."""
        return self.process is None and self._due is None

    @property
    def seconds_until_start(self) -> float | None:
        """The seconds until the start of the next process; ``None``: none will be started."""
        return None if self._due is None else max(0.0, self._due - time.monotonic())

    def starting(self) -> None:
        """Note that a process is being started."""
        self._due, self._started = None, time.monotonic()
        self.has_listened, self.failure = False, ""
        self.expectation = Expectation()

    def schedule_restart(self) -> None:
        """Schedule the next process: at once, or after a delay if the last one died soon after its start."""
        now = time.monotonic()
        if now - self._started >= _STEADY_SECONDS:
            self.delay_seconds = 0.0
        else:
            limit = _MAX_DELAY_ONCE_LISTENED_SECONDS if self.has_listened else _MAX_DELAY_SECONDS
            self.delay_seconds = min(max(self.delay_seconds * 2, _FIRST_DELAY_SECONDS), limit)
        self._due = now + self.delay_seconds

    def cancel_restart(self) -> None:
        """Schedule no further process."""
        self._due = None
