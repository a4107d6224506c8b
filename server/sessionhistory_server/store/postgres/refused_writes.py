"""Count and log the writes that the database refuses while it serves reads."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

_ADVICE: Final = {
    "25006": "it is a standby or set to read-only: look for default_transaction_read_only",
    "42501": "grant the server's role the rights to insert, update and delete",
    "53100": "its disk is full: free space, or enlarge the volume",
    "53200": "it is out of memory",
    "58030": "its disk reports errors",
}
_OTHER_ADVICE: Final = "it lacks resources: see its log"

_QUIET_SECONDS: Final = 60


class RefusedWrites:
    """The writes of calls that the database refused.

    Args:
        count: Called for each refused write, with its SQLSTATE.
    """

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._last = ""
        self._last_time = 0.0
        self._news = ""

    def note(self, sqlstate: str) -> None:
        """Count a refused write; log it if its SQLSTATE is new, or after a minute without any."""
        self._count(sqlstate)
        self._news = sqlstate
        before, self._last_time = self._last_time, time.monotonic()
        if sqlstate != self._last or self._last_time - before > _QUIET_SECONDS:
            self._last = sqlstate
            _log.error("the database refuses writes: %s", advice(sqlstate), extra={"sqlstate": sqlstate})

    def take_last_refusal(self) -> str:
        """Return the SQLSTATE of the last refused write, once; empty if no write was refused since."""
        news, self._news = self._news, ""
        return news

    def forget(self) -> None:
        """Forget the last logged SQLSTATE, because writes succeed again. So the next refusal is logged."""
        self._last = ""


def advice(sqlstate: str) -> str:
    """Return the cause of refused writes, and the remedy, for operators."""
    return _ADVICE.get(sqlstate, _OTHER_ADVICE)
