"""Turns a second of one Python process, against libraries that keep history in that process."""

from __future__ import annotations

import json
import select
import sys
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import psycopg

from benchmarks import processes
from benchmarks.errors import InvalidError, SkippedError
from benchmarks.measurement import Round, Row, Target

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from benchmarks.bench import Bench

_PYTHON: Final = processes.ROOT / ".tools" / "peers" / "bin" / "python"
# The peers, the fastest first.
_PEERS: Final = {"LangChain": "langchain", "OpenAI Agents SDK": "openai_agents", "Google ADK": "google_adk"}

# Windows are for conversations that are longer than a window. These have 100 messages on average.
TURNS: Final = 100
# Nine of ten recorded conversations have at most this many turns.
_FEW_TURNS: Final = 20


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

    def per_second(self, seconds: float) -> float:
        """Make turns for ``seconds``; return turns a second.

        Raises:
            InvalidError: the program failed.
        """
        assert self._process.stdin
        print(seconds, file=self._process.stdin, flush=True)
        outcome = json.loads(self._line(seconds + processes.PATIENCE_SECONDS))
        return float(outcome["turns"] / outcome["seconds"])

    def _line(self, patience_seconds: float) -> str:
        output = self._process.stdout
        assert output
        ready, _, _ = select.select([output], [], [], patience_seconds)
        if ready and (line := output.readline()):
            return line
        raise InvalidError(processes.last_line(self._log))


def _turns(turns: int, bench: Bench) -> Generator[Round, None, str]:
    with ExitStack() as stack:
        peers = _start_peers(stack, bench, turns)
        ours = start_client(stack, bench, turns)
        ours.wait_until_ready()
        failures = _drop_failed(peers)
        for _ in bench.rounds():
            done = ours.per_second(bench.scale.round_seconds)
            others = {name: peer.per_second(bench.scale.round_seconds) for name, peer in peers.items()}
            yield Round(done, max(others.values()), others)
    return "; ".join(failures)


def start_client(stack: ExitStack, bench: Bench, turns: int) -> Driver:
    """Start the program that makes ``turns`` turns in each conversation by the service."""
    address, log = f"127.0.0.1:{bench.service.port}", bench.folder / "session_history.log"
    return Driver(stack, sys.executable, "session_history", address, str(turns), log=log)


def _start_peers(stack: ExitStack, bench: Bench, turns: int) -> dict[str, Driver]:
    """Start all peers concurrently, because their imports take seconds."""
    if not _PYTHON.exists():
        raise SkippedError("the libraries to compare with are not installed: make peers")
    url = _database(bench.database_url, f"peers_{turns}")
    return {
        name: Driver(stack, _PYTHON, module, url, str(turns), log=bench.folder / f"{module}.log")
        for name, module in islice(_PEERS.items(), bench.scale.peers)
    }


def _drop_failed(peers: dict[str, Driver]) -> list[str]:
    """Wait for the peers; drop those that fail, and return the reasons."""
    failures = []
    for name in list(peers):
        try:
            peers[name].wait_until_ready()
        except InvalidError as error:
            del peers[name]
            failures.append(f"without {name}, which fails: {error}")
    if not peers:
        raise InvalidError("; ".join(failures))
    return failures


def _database(url: str, name: str) -> str:
    """Create a database on the same Postgres; return its URL."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return urlsplit(url)._replace(path=f"/{name}").geturl()


_row = partial(Row, measured="service", against="best peer", unit="/s")

ROWS: Final = (
    _row(
        name="turns",
        title=f"turns of 16 conversations of {2 * TURNS} messages, from one Python process",
        run=partial(_turns, TURNS),
        target=Target(2.5, aim=4),
    ),
    _row(
        name="turns-short",
        title=f"the same, of {2 * _FEW_TURNS} messages",
        run=partial(_turns, _FEW_TURNS),
    ),
)
