"""The time limits of a worker: until it listens, answers, or has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

START_SECONDS: Final = 30.0
"""From the start of a worker until it listens."""

ANSWER_SECONDS: Final = 10.0
"""Until a worker answers a ping. A request with much text to count may keep it busy for a second or two."""

STOP_SLACK_SECONDS: Final = 10.0
"""For the rest of a stop, after drain and grace: running statements finish, and everything is closed."""

_PING_EVERY_SECONDS: Final = 2.0


@dataclass
class Expectation:
    """The next action that the supervisor expects of a worker, and the time that it has waited.

    Only time in which the supervisor itself ran counts. After a pause of the whole machine, an answer may be
    on its way.
    """

    action: str = "listen"
    """``listen``, ``answer`` or ``end``; empty if nothing is expected."""
    limit_seconds: float = START_SECONDS
    _waited_seconds: float = 0.0

    @property
    def is_overdue(self) -> bool:
        """Whether the supervisor has waited for too long."""
        return bool(self.action) and self._waited_seconds >= self.limit_seconds

    @property
    def is_ping_due(self) -> bool:
        """Whether nothing is expected, and the last answer was long enough ago."""
        return not self.action and self._waited_seconds >= _PING_EVERY_SECONDS

    def wait(self, seconds: float) -> None:
        """Count time that has passed."""
        self._waited_seconds += seconds

    def expect(self, action: str, limit_seconds: float) -> None:
        """Expect an action from now on, within a limit."""
        self.action, self.limit_seconds, self._waited_seconds = action, limit_seconds, 0.0

    def fulfil(self) -> None:
        """Note that the worker has acted, and expect nothing more. A worker that must end must still end."""
        if self.action != "end":
            self.expect("", 0.0)
