"""The messages between the supervisor and its workers."""

from __future__ import annotations

from typing import Final

STOP: Final = b"stop"
"""To a worker: stop."""
PING: Final = b"ping"
"""To a worker: answer after you have shown that you accept calls."""

LISTENING: Final = "listening"
"""From a worker: it listens."""
PONG: Final = "pong"
"""From a worker: it has answered or accepted a call since the last ping."""
DATABASE: Final = "database"
"""From a worker: the state of the database; a state and a reason follow."""
FAILED: Final = "failed"
"""From a worker: it cannot serve; a reason follows."""
