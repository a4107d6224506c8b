"""Decide whether the client retries a call, and how long it waits before."""

from __future__ import annotations

import random
import time
from typing import Final

import grpc

from sessionhistory.errors import (
    PoolExhaustedError,
    RateLimitedError,
    SchemaOutdatedError,
    ServerOverloadedError,
    SessionHistoryError,
    TransactionConflictError,
    UnauthenticatedError,
    UnavailableError,
)

_FIRST_DELAY_SECONDS: Final = 0.1
_LONGEST_DELAY_SECONDS: Final = 2.0
_SHORTEST_ATTEMPT_SECONDS: Final = 0.1

# These errors of the service mean that the call had no effect.
_NO_EFFECT: Final = (
    PoolExhaustedError,
    RateLimitedError,
    SchemaOutdatedError,
    ServerOverloadedError,
    TransactionConflictError,
)


class Attempts:
    """The attempts of one call: the remaining time, and the delay before each retry.

    Args:
        timeout_seconds: How long the call may take, with all its retries.
        repeatable: Whether two executions have the same effect as one.
        has_fresh_keys: Whether a function returns the key of each attempt.
    """

    def __init__(self, timeout_seconds: float, *, repeatable: bool, has_fresh_keys: bool = False) -> None:
        self._end = time.monotonic() + timeout_seconds
        self._repeatable = repeatable
        self._may_change_key = has_fresh_keys
        self._delay_seconds = _FIRST_DELAY_SECONDS

    @property
    def remaining_seconds(self) -> float:
        """The seconds until the deadline of the call."""
        return max(self._end - time.monotonic(), 0.0)

    def delay(self, error: SessionHistoryError) -> float | None:
        """Return the seconds to wait before the next attempt; ``None``: do not retry.

        Delays double from 0.1 to 2 seconds, and are reduced at random by up to a half. They are never shorter
        than the delay that the service names. The last delay is shortened so that an attempt fits before the
        deadline. If the service refuses the key, the first retry is at once, for a fresh key. It is harmless,
        because the service executes no call without a valid key.
        """
        if isinstance(error, UnauthenticatedError) and self._may_change_key:
            self._may_change_key = False
            return 0.0
        at_least = error.retry_delay_seconds or 0.0
        at_most = self.remaining_seconds - _SHORTEST_ATTEMPT_SECONDS
        if not may_help(error, repeatable=self._repeatable) or at_most <= 0 or at_most < at_least:
            return None
        seconds = max(self._delay_seconds * random.uniform(0.5, 1.0), at_least)  # noqa: S311 - no secret
        self._delay_seconds = min(2 * self._delay_seconds, _LONGEST_DELAY_SECONDS)
        return min(seconds, at_most)


def may_help(error: SessionHistoryError, *, repeatable: bool = True) -> bool:
    """Return whether a retry after this error may succeed, and is harmless."""
    if isinstance(error, _NO_EFFECT):
        return True
    # A server that has just stopped refuses calls with CANCELLED.
    gone = isinstance(error, UnavailableError) or error.code is grpc.StatusCode.CANCELLED
    return gone and repeatable
