"""Token counters by name."""

from __future__ import annotations

from typing import Final

CHARACTERS: Final = "characters"
"""The default token counter in the settings of a server."""
COUNTER_VERSION: Final = "@2"
"""The suffix of a counter's name in a session. Without it, JSON and reasoning do not count there."""
COUNTED_BY_CHARACTERS: Final = CHARACTERS + COUNTER_VERSION
"""The default token counter in a session."""
MIXED: Final = "mixed"
"""The token counter of a session whose messages several counters counted."""


class OtherCounterError(Exception):
    """The messages cannot be stored yet, because their session has another counter, ``counter``."""

    def __init__(self, counter: str) -> None:
        super().__init__(counter)
        self.counter = counter
