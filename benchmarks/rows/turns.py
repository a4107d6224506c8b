"""Turns of conversations a second from one Python process, against libraries that do it in that process."""

from __future__ import annotations

import json
import select
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import psycopg

from benchmarks import processes
from benchmarks.measuring import InvalidError, Round, Row, SkippedError, Target

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from benchmarks.bench import Bench

_PYTHON: Final = processes.ROOT / ".tools" / "peers" / "bin" / "python"
_PEERS: Final = {"OpenAI Agents SDK": "openai_agents", "Google ADK": "google_adk", "LangChain": "langchain"}


class _Driver:
    """A program of ``benchmarks.peers``, ready; it ends with the stack."""

    def __init__(
        self, stack: ExitStack, python: str | Path, module: str, argument: str, folder: Path
    ) -> None:
        self._log = folder / f"{module}.log"
        command = [*processes.module(f"peers.{module}", python=python), argument]
        self._process = stack.enter_context(processes.running(command, self._log, pipes=True))
        self._line(processes.PATIENCE_SECONDS)

    def per_second(self, seconds: float) -> float:
        """Converse for a while; return turns a second.

        Raises:
            InvalidError: it failed.
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


def _turns(bench: Bench) -> Generator[Round, None, str]:
    with ExitStack() as stack:
        address = f"127.0.0.1:{bench.service.port}"
        ours = _Driver(stack, sys.executable, "session_history", address, bench.folder)
        peers, failures = _start_peers(stack, bench)
        for _ in bench.rounds():
            turns = ours.per_second(bench.scale.round_seconds)
            others = {name: peer.per_second(bench.scale.round_seconds) for name, peer in peers.items()}
            yield Round(turns, max(others.values()), others)
    return "; ".join(failures)


def _start_peers(stack: ExitStack, bench: Bench) -> tuple[dict[str, _Driver], list[str]]:
    """Return those that run, and why the others do not."""
    if not _PYTHON.exists():
        raise SkippedError("the peers are not installed: make peers")
    url = _database(bench.database_url)
    peers, failures = {}, []
    for name, module in _PEERS.items():
        try:
            peers[name] = _Driver(stack, _PYTHON, module, url, bench.folder)
            peers[name].per_second(bench.scale.round_seconds)  # prepares its statements
        except InvalidError as error:
            peers.pop(name, None)
            failures.append(f"without {name}, which fails: {error}")
    if not peers:
        raise InvalidError("; ".join(failures))
    return peers, failures


def _database(url: str) -> str:
    """Make a database for the peers, on the same Postgres; return its URL."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create database peers")
    return urlsplit(url)._replace(path="/peers").geturl()


ROWS: Final = (
    Row(
        name="turns",
        title="turns of 16 conversations from one Python process",
        measured="service",
        against="best peer",
        unit="/s",
        run=_turns,
        target=Target(2.5, aim=4),
    ),
)
