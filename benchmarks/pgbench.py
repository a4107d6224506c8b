"""Postgres without a service: pgbench with the store's own statements, from the wheel that has Postgres."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from benchmarks import processes
from benchmarks.measuring import InvalidError
from benchmarks.statements import MESSAGE_ID, session_settings
from sessionhistory_server import embedded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.statements import Statement

_CLIENTS: Final = 16
_THREADS: Final = 2
_RATE: Final = re.compile(r"tps = (?P<rate>[0-9.]+) \(without initial connection time\)")
_DONE: Final = re.compile(r"number of transactions actually processed: (?P<done>\d+)")
_FAILED: Final = re.compile(r"number of failed transactions: (?P<failed>\d+)")


class Pgbench:
    """Runs statements, which differ in nothing but their parameters, in turns from 16 connections."""

    def __init__(self, folder: Path, url: str, statements: Sequence[Statement]) -> None:
        self._log = folder / "pgbench.log"
        self._command: list[str | Path] = [
            embedded.binaries() / "pgbench",
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={_CLIENTS}",
            f"--jobs={_THREADS}",
        ]
        for number, statement in enumerate(statements):
            script = folder / f"pgbench-{number}.sql"
            script.write_text(self._script(number, statement))
            self._command.append(f"--file={script}")
        self._command.append(url)
        self._options = session_settings(url)

    def run(self, seconds: float) -> tuple[int, float]:
        """Run for a while, in whole seconds; return how many statements that were, and how many a second.

        Raises:
            InvalidError: a statement failed.
        """
        self._log.write_text("")
        command = [*self._command, f"--time={max(1, round(seconds))}"]
        with processes.running(command, self._log, variables={"PGOPTIONS": self._options}) as process:
            code = processes.finish(process, seconds + processes.PATIENCE_SECONDS)
        output = self._log.read_text()
        rate, done, failed = (pattern.search(output) for pattern in (_RATE, _DONE, _FAILED))
        if code or rate is None or done is None or failed is None or int(failed["failed"]):
            raise InvalidError(f"pgbench failed: {processes.last_line(self._log)}")
        return int(done["done"]), float(rate["rate"])

    def _script(self, number: int, statement: Statement) -> str:
        replaced = {}
        for name, value in statement.parameters.items():
            if value is None:  # which no variable of pgbench can be
                replaced[name] = "null"
                continue
            variable = f"{name}_{number}"
            self._command.append(f"--define={variable}={value}")
            # No function of pgbench makes a text.
            has_id = MESSAGE_ID in str(value)
            replaced[name] = (
                f"replace(:{variable}::text, '{MESSAGE_ID}', :id::text)" if has_id else f":{variable}"
            )
        text = " ".join(statement.with_placeholders(replaced).split())
        return f"\\set id random(1, {2**62})\n{text};\n"
