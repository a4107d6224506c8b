"""Show the progress of a long command on standard error."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator


class ProgressBar:
    """A bar with a percentage, a text and the remaining time. It is shown only on a terminal.

    Args:
        total: The value at which the work is done; ``None`` if it is not known.
        text: The text beside the bar.
    """

    def __init__(self, total: float | None, text: str = "") -> None:
        self.console = Console(stderr=True, markup=False, emoji=False, highlight=False)
        """The console on standard error. A line that is printed to it appears above the bar."""
        columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        self._progress = Progress(*columns, console=self.console, transient=True)
        self._task = self._progress.add_task(text, total=total)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar for the length of the block."""
        if not self.console.is_terminal:
            yield
            return
        with self._progress:
            yield

    def update(self, completed: float, text: str | None = None) -> None:
        """Move the bar, and replace its text unless that is ``None``."""
        self._progress.update(self._task, completed=completed, description=text)
