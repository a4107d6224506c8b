"""Log the errors that no code catches by type and place. Python itself would print their messages."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_log = logging.getLogger(__name__)


def log_uncaught() -> None:
    """Log the errors that end this process or a thread of it, and those that Python ignores, from now on."""
    sys.excepthook = _end_process
    threading.excepthook = lambda found: _write("a thread failed", found.exc_value)
    sys.unraisablehook = lambda found: _write("an error was ignored", found.exc_value)


def _end_process(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    _write("internal error", error)


def _write(event: str, error: BaseException | None) -> None:
    _log.error(event, exc_info=error)
