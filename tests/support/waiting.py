"""Wait for a condition, not for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING

from support.service import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

_POLL_SECONDS = 0.01


async def until(condition: Callable[[], object], *, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Let other tasks run until a condition holds; the condition may be a coroutine function."""
    deadline = time.monotonic() + patience_seconds
    while not await _settled(condition()):
        assert time.monotonic() < deadline, "the condition never held"
        await asyncio.sleep(_POLL_SECONDS)


async def _settled(found: object) -> object:
    return await found if inspect.isawaitable(found) else found


def eventually(condition: Callable[[], object], *, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Block until a condition holds."""
    deadline = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(_POLL_SECONDS)
