"""Drive the programs of ``benchmarks.peers``, which make turns of conversations."""

from __future__ import annotations

import json
import select
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks import processes
from benchmarks.errors import InvalidError

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

CONVERSATIONS: Final = 16


class Turns(NamedTuple):
    """The turns of one round: their latencies, the time that passed, and the CPU of the program; seconds."""

    latencies: list[float]
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        """The number of turns a second."""
        return len(self.latencies) / self.seconds

    @property
    def median_seconds(self) -> float:
        """The median of the latencies, in seconds."""
        return median(self.latencies)


class Driver:
    """A running program of ``benchmarks.peers``, which the stack ends."""

    def __init__(self, stack: ExitStack, python: str | Path, module: str, *arguments: str, log: Path) -> None:
        command = [*processes.module(f"peers.{module}", python=python), *arguments]
        self._log = log
        self._process = stack.enter_context(processes.running(command, log, pipes=True))

    def wait_until_ready(self) -> None:
        """Wait until the program is ready.

        Raises:
            InvalidError: the program failed.
        """
        self._line(processes.PATIENCE_SECONDS)

    def turns(
        self, seconds: float, *, conversations: int = CONVERSATIONS, per_second: float | None = None
    ) -> Turns:
        """Make turns for ``seconds``: without a pause in some conversations, or begin some each second.

        Raises:
            InvalidError: the program failed.
        """
        assert self._process.stdin
        asked = {"seconds": seconds, "conversations": conversations, "per_second": per_second}
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        made = Turns(**json.loads(self._line(seconds + processes.PATIENCE_SECONDS)))
        if not made.latencies:
            raise InvalidError("no turn was made in time")
        return made

    def _line(self, patience_seconds: float) -> str:
        output = self._process.stdout
        assert output
        ready, _, _ = select.select([output], [], [], patience_seconds)
        if ready and (line := output.readline()):
            return line
        raise InvalidError(processes.last_line(self._log))
