"""Postgres without a service: pgbench with the store's own statements, from the wheel that has Postgres."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from benchmarks import processes
from benchmarks.measuring import InvalidError
from benchmarks.statements import MESSAGE_ID, session_settings
from sessionhistory_server import embedded
from sessionhistory_server.history import TENANT
from sessionhistory_server.store.keys import session_key

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
    """Runs a statement for any of some sessions, from 16 connections; it was made for the first of them."""

    def __init__(self, folder: Path, url: str, statement: Statement, sessions: Sequence[str]) -> None:
        self._log = folder / "pgbench.log"
        self._command: list[str | Path] = [
            embedded.binaries() / "pgbench",
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={_CLIENTS}",
            f"--jobs={_THREADS}",
        ]
        text, variables = _script(statement, [session_key(TENANT, session_id) for session_id in sessions])
        script = folder / "pgbench.sql"
        script.write_text(text)
        self._command += [f"--file={script}", *(f"--define={variable}" for variable in variables)]
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


def _script(statement: Statement, keys: Sequence[str]) -> tuple[str, list[str]]:
    """Return a statement for pgbench, and the variables for it, as NAME=VALUE.

    One for all sessions, whose keys it is given: each connection prepares each statement. No function of
    pgbench makes a text, so that Postgres puts keys and ids in their places.
    """
    variables, replaced = [f"keys={{{','.join(keys)}}}"], {}
    places = {keys[0]: "(:keys::text[])[:which]", MESSAGE_ID: ":id::text"}
    for name, value in statement.parameters.items():
        if value is None:  # which no variable can be
            replaced[name] = "null"
            continue
        variables.append(f"{name}={value}")
        replaced[name] = f":{name}"
        for text, place in places.items():
            if text in str(value):
                replaced[name] = f"replace({replaced[name]}::text, '{text}', {place})"
    choices = f"\\set which random(1, {len(keys)})\n\\set id random(1, {2**62})\n"
    return f"{choices}{' '.join(statement.with_placeholders(replaced).split())};\n", variables
