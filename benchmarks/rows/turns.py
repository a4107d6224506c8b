"""Turns of one Python process, against libraries that keep history in that process.

The service has credentials and limits. The best peer of a row is the best one in that row.
"""

from __future__ import annotations

import secrets
import sys
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import psycopg

from benchmarks import processes
from benchmarks.database import cluster
from benchmarks.errors import InvalidError, SkippedError
from benchmarks.load.drivers import Driver
from benchmarks.measurement import Round, Row, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.servers.launch import Server

    Figure = Callable[[Bench, Driver], float]

# The peers, the fastest first.
_PEERS: Final = {"LangChain": "langchain", "OpenAI Agents SDK": "openai_agents", "Google ADK": "google_adk"}
_MILLIS: Final = 1_000

# Windows are for conversations that are longer than a window. These have 100 messages on average.
TURNS: Final = 100
# Nine of ten recorded conversations have at most this many turns.
_FEW_TURNS: Final = 20


def _per_second(bench: Bench, driver: Driver) -> float:
    return driver.turns(bench.scale.round_seconds).per_second


def _client_millis(bench: Bench, driver: Driver) -> float:
    made = driver.turns(bench.scale.round_seconds)
    return _MILLIS * made.cpu_seconds / len(made.latencies)


def _postgres_millis(bench: Bench, driver: Driver) -> float:
    postgres = cluster.postmaster(bench.database_url)
    begin = processes.cpu_seconds(postgres)
    made = driver.turns(bench.scale.round_seconds)
    return _MILLIS * (processes.cpu_seconds(postgres) - begin) / len(made.latencies)


def _against_peers(
    figure: Figure, best: Callable[[Iterable[float]], float], turns: int, bench: Bench
) -> Generator[Round, None, str]:
    with ExitStack() as stack:
        peers = _start_peers(stack, bench, turns)
        service = start_client(stack, bench.production, bench.folder, turns)
        service.wait_until_ready()
        failures = _drop_failed(peers)
        for _ in bench.rounds():
            measured = figure(bench, service)
            others = {name: figure(bench, peer) for name, peer in peers.items()}
            yield Round(measured, best(others.values()), others)
    return "; ".join(failures)


def start_client(stack: ExitStack, server: Server, folder: Path, turns: int) -> Driver:
    """Start the program that makes ``turns`` turns in each conversation by the service."""
    arguments = (f"127.0.0.1:{server.port}", str(turns), server.key or "")
    return Driver(stack, sys.executable, "session_history", *arguments, log=folder / "session_history.log")


def _start_peers(stack: ExitStack, bench: Bench, turns: int) -> dict[str, Driver]:
    """Start all peers concurrently, because their imports take seconds."""
    if not processes.PEERS_PYTHON.exists():
        raise SkippedError("the libraries to compare with are not installed: make peers")
    arguments = (_database(bench.database_url), str(turns))
    return {
        name: Driver(stack, processes.PEERS_PYTHON, module, *arguments, log=bench.folder / f"{module}.log")
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


def _database(url: str) -> str:
    """Create a database on the same Postgres; return its URL."""
    name = f"peers_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return urlsplit(url)._replace(path=f"/{name}").geturl()


_row = partial(Row, measured="service", against="best peer")
_turns_row = partial(_row, unit="/s")
_cpu_row = partial(_row, unit="ms", target=Target(0.5, at_most=True))

ROWS: Final = (
    _turns_row(
        name="turns",
        title=f"turns of 16 conversations of {2 * TURNS} messages, from one Python process; keys and limits",
        run=partial(_against_peers, _per_second, max, TURNS),
        target=Target(2.5, aim=3),
    ),
    _turns_row(
        name="turns-short",
        title=f"the same, of {2 * _FEW_TURNS} messages",
        run=partial(_against_peers, _per_second, max, _FEW_TURNS),
        target=Target(1, aim=1.3),
    ),
    _cpu_row(
        name="turns-client-cpu",
        title=f"CPU of the client's process for a turn of 16 conversations of {2 * TURNS} messages",
        run=partial(_against_peers, _client_millis, min, TURNS),
    ),
    _cpu_row(
        name="turns-postgres-cpu",
        title="CPU of Postgres for such a turn",
        run=partial(_against_peers, _postgres_millis, min, TURNS),
    ),
)
