"""Run the store's statements with pgbench, without the service. pgbench comes in the wheel of Postgres."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from benchmarks import processes
from benchmarks.database.statements import MESSAGE_ID, session_settings
from benchmarks.errors import InvalidError
from sessionhistory_server import embedded
from sessionhistory_server.model.caller import DEFAULT_TENANT
from sessionhistory_server.store.session_ref import session_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.database.statements import Statement

_CLIENTS: Final = 16
_THREADS: Final = 2
_RATE: Final = re.compile(r"tps = (?P<rate>[0-9.]+) \(without initial connection time\)")
_DONE: Final = re.compile(r"number of transactions actually processed: (?P<done>\d+)")
_FAILED: Final = re.compile(r"number of failed transactions: (?P<failed>\d+)")


class Pgbench:
    """A run of a statement on 16 connections, each time for a random session of ``sessions``.

    ``statement`` was recorded for the first of the sessions.
    """

    def __init__(self, folder: Path, url: str, statement: Statement, sessions: Sequence[str]) -> None:
        self._log = folder / "pgbench.log"
        self._command: list[str | Path] = [
            embedded.binaries() / "pgbench",
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={_CLIENTS}",
            f"--jobs={_THREADS}",
        ]
        text, variables = _script(
            statement, [session_key(DEFAULT_TENANT, session_id) for session_id in sessions]
        )
        script = folder / "pgbench.sql"
        script.write_text(text)
        self._command += [f"--file={script}", *(f"--define={variable}" for variable in variables)]
        self._command.append(url)
        self._options = session_settings(url)

    def run(self, seconds: float) -> tuple[int, float]:
        """Run for ``seconds``, rounded; return the number of statements, and their rate a second.

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
    """Return the script for pgbench, and its variables as NAME=VALUE.

    One statement serves all sessions, because each connection prepares each statement once. pgbench has no
    function that creates a text, so the statement itself inserts the keys and the ids.
    """
    variables, replaced = [f"keys={{{','.join(keys)}}}"], {}
    places = {keys[0]: "(:keys::text[])[:which]", MESSAGE_ID: ":id::text"}
    for name, value in statement.parameters.items():
        if value is None:  # a variable cannot be null
            replaced[name] = "null"
            continue
        variables.append(f"{name}={value}")
        replaced[name] = f":{name}"
        for text, place in places.items():
            if text in str(value):
                replaced[name] = f"replace({replaced[name]}::text, '{text}', {place})"
    choices = f"\\set which random(1, {len(keys)})\n\\set id random(1, {2**62})\n"
    return f"{choices}{' '.join(statement.with_placeholders(replaced).split())};\n", variables
