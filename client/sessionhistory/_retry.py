"""When a call is tried again, and how long to wait before."""

from __future__ import annotations

import random
import time
from typing import Final

import grpc

from sessionhistory.errors import (
    PoolExhaustedError,
    SchemaOutdatedError,
    SessionHistoryError,
    TransactionConflictError,
    UnavailableError,
)

_FIRST_DELAY_SECONDS: Final = 0.1
_LONGEST_DELAY_SECONDS: Final = 2.0
_SHORTEST_ATTEMPT_SECONDS: Final = 0.1

# The service says with these that it has done nothing.
_NOTHING_DONE: Final = (PoolExhaustedError, SchemaOutdatedError, TransactionConflictError)


class Attempts:
    """The attempts of one call, which share its deadline.

    Args:
        timeout_seconds: How long the call may take in all.
        repeatable: Whether doing it twice does what doing it once does.
    """

    def __init__(self, timeout_seconds: float, *, repeatable: bool) -> None:
        self._end = time.monotonic() + timeout_seconds
        self._repeatable = repeatable
        self._delay_seconds = _FIRST_DELAY_SECONDS

    @property
    def remaining_seconds(self) -> float:
        """What is left of the call's time."""
        return max(self._end - time.monotonic(), 0.0)

    def delay(self, error: SessionHistoryError) -> float | None:
        """Return how many seconds to wait before the next attempt; ``None``: there is to be none.

        Waits grow from 0.1 to 2 seconds, by a random share, and are never shorter than the service asks for.
        The last is cut so that an attempt fits before the deadline.
        """
        at_least = error.retry_delay_seconds or 0.0
        at_most = self.remaining_seconds - _SHORTEST_ATTEMPT_SECONDS
        if not may_help(error, repeatable=self._repeatable) or at_most <= 0 or at_most < at_least:
            return None
        seconds = max(self._delay_seconds * random.uniform(0.5, 1.0), at_least)  # noqa: S311 - no secret
        self._delay_seconds = min(2 * self._delay_seconds, _LONGEST_DELAY_SECONDS)
        return min(seconds, at_most)


def may_help(error: SessionHistoryError, *, repeatable: bool = True) -> bool:
    """Return whether a call that has failed so may be tried again."""
    if isinstance(error, _NOTHING_DONE):
        return True
    # CANCELLED without our doing is how a server that has just stopped refuses a call.
    gone = isinstance(error, UnavailableError) or error.code is grpc.StatusCode.CANCELLED
    return gone and repeatable
