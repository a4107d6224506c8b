"""Waiting for what will be, and not for how long it takes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from support.service import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

_POLL_SECONDS = 0.01


async def until(condition: Callable[[], object], *, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Let everything else run until a condition holds."""
    deadline = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(_POLL_SECONDS)


def eventually(condition: Callable[[], object], *, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Do nothing until a condition holds."""
    deadline = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(_POLL_SECONDS)
