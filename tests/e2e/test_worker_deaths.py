"""`session-history serve --workers 2` when processes die or cannot start."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest
from workers_support import deaths_of, is_running, pids_of

from support.processes import run
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.processes import Server

    Start = Callable[..., Server]


@pytest.mark.parametrize("database", ["by URL", "embedded"])
def test_nothing_outlives_a_killed_server(
    start: Start, database_url: str, tmp_path: Path, database: str
) -> None:
    """If the supervisor is killed -9, the workers and the embedded Postgres end."""
    embedded = database == "embedded"
    where = ("--data-dir", tmp_path / "data") if embedded else ("--database-url", database_url)
    server = start("--workers", "2", *where)
    server.stub()
    pids = pids_of(server)
    assert len(pids) == (3 if embedded else 2)
    server.process.kill()
    server.wait()
    eventually(lambda: not any(map(is_running, pids)))


def test_a_worker_that_lingers_does_not_keep_the_data(start: Start, tmp_path: Path) -> None:
    """A killed server's lock on the data directory ends at once, however long its workers take to end."""
    server = start("--workers", "2", "--data-dir", tmp_path / "data")
    server.stub()
    lingering = pids_of(server)[-1]
    os.kill(lingering, signal.SIGSTOP)
    try:
        server.process.kill()
        server.process.wait()
        start("--workers", "2", "--data-dir", tmp_path / "data").stub()
    finally:
        os.kill(lingering, signal.SIGCONT)


@pytest.mark.parametrize("others", ["1", "2"])
def test_the_port_is_kept_while_nobody_listens(start: Start, database_url: str, others: str) -> None:
    """No other server gets the port between the death of all workers and their replacement."""
    first = start("--workers", "2", "--database-url", database_url)
    first.stub()
    pids = pids_of(first)
    first.process.send_signal(signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    flags = ("--database-url", database_url, "--listen", first.address(), "--metrics-listen", "off")
    second = run("serve", *flags, "--workers", others)
    first.process.send_signal(signal.SIGCONT)
    assert second.returncode == 1
    assert "Address already in use" in second.stderr
    eventually(lambda: len(deaths_of(first)) == 2 and len(pids_of(first)) == 2)
    assert first.process.poll() is None


def test_workers_that_cannot_start(database_url: str) -> None:
    """If the workers cannot start, the server ends with one line and does not retry."""
    flags = ("--listen", "127.0.0.1:0", "--metrics-listen", "off", "--database-url", database_url)
    # The workers use gRPC, which gives up at this variable.
    done = run("serve", *flags, "--workers", "2", variables={"GRPC_POLL_STRATEGY": "no such"})
    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert re.fullmatch("Error: worker [12] did not start: SIGABRT", line)
    assert "listening" not in done.stderr
    assert "Traceback" not in done.stderr
