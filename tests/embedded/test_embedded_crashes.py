"""After any crash the next start works and has all committed data."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from embedded_support import (
    eventually,
    kill,
    postmaster,
    processes,
    remember,
    remembered,
    socket_folder,
)

from sessionhistory_server import embedded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from embedded_support import Owner

    Start = Callable[..., Owner]


def test_postgres_goes_down_with_a_killed_server(data_dir: Path, owner: Start) -> None:
    """When the server is killed -9, Postgres stops by itself."""
    first = owner(data_dir)
    url = first.url()
    remember(url, "kept")
    first.kill()
    eventually(lambda: not processes(data_dir / "postgres"))
    with embedded.running(data_dir) as again:
        assert remembered(again) == ["kept"]
        assert not socket_folder(url).exists()


def test_everything_killed(data_dir: Path, owner: Start) -> None:
    """When the server, the postmaster and all its children are killed -9, the next start works."""
    first = owner(data_dir)
    url = first.url()
    remember(url, "kept")
    kill(*processes(data_dir / "postgres"))
    first.kill()
    assert (data_dir / "postgres" / "postmaster.pid").exists()
    with embedded.running(data_dir) as again:
        assert remembered(again) == ["kept"]
    assert not socket_folder(url).exists()


def test_a_postgres_left_behind_is_stopped(data_dir: Path, owner: Start) -> None:
    """A postmaster that survived its server is stopped cleanly before a new one starts."""
    first = owner(data_dir, "--outlived")
    remember(first.url(), "kept")
    before = postmaster(data_dir)
    first.kill()
    assert before in processes(data_dir / "postgres")
    reports: list[str] = []
    with embedded.running(data_dir, report=reports.append) as url:
        assert remembered(url) == ["kept"]
        assert before not in processes(data_dir / "postgres")
    assert "received fast shutdown request" in (data_dir / "postgres.log").read_text()
    assert len(reports) == 1


def test_a_backend_left_behind_is_stopped(data_dir: Path, owner: Start) -> None:
    """A backend that is too busy to notice its postmaster's end does not block the next one."""
    first = owner(data_dir)
    # Not a block of its own, because that would end with a commit on the dead connection.
    with closing(psycopg.connect(first.url(), autocommit=True)) as client:
        backend = client.info.backend_pid
        client.pgconn.send_query(b"do 'begin loop end loop; end'")
        client.pgconn.flush()
        kill(postmaster(data_dir))
        first.kill()
        eventually(lambda: processes(data_dir / "postgres") == [backend])
        with embedded.running(data_dir) as url:
            assert backend not in processes(data_dir / "postgres")
            remember(url, "kept")


def test_a_process_id_used_again(data_dir: Path) -> None:
    """A stale postmaster.pid with the number of an unrelated process does not prevent the start."""
    with embedded.running(data_dir):
        text = (data_dir / "postgres" / "postmaster.pid").read_text()
    _, rest = text.split("\n", 1)
    uid = (data_dir / "postgres").stat().st_uid
    with subprocess.Popen(["sleep", "999"], user=uid, cwd="/") as stranger:
        try:
            (data_dir / "postgres" / "postmaster.pid").write_text(f"{stranger.pid}\n{rest}")
            with embedded.running(data_dir) as url:
                remember(url, "kept")
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_postgres_dies_while_we_serve(data_dir: Path) -> None:
    """If Postgres is killed while it is served, leaving the block works, and so does the next start."""
    with embedded.running(data_dir) as url:
        remember(url, "kept")
        kill(postmaster(data_dir))
    assert not processes(data_dir / "postgres")
    with embedded.running(data_dir) as url:
        assert remembered(url) == ["kept"]


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_interrupted_initdb(data_dir: Path, public_dir: Path, owner: Start, signum: signal.Signals) -> None:
    """A crash during initdb leaves nothing that the next start takes for a cluster."""
    initdb = public_dir / "initdb"
    initdb.write_text('#!/bin/sh\nfor d; do :; done; cd "$d"; echo 18 >PG_VERSION; exec sleep 999')
    initdb.chmod(0o755)
    first = owner(data_dir, "--programs", str(public_dir))
    eventually(lambda: list(data_dir.glob("postgres.new-*/PG_VERSION")))
    unfinished = next(data_dir.glob("postgres.new-*"))
    os.kill(first.process.pid, signum)
    eventually(lambda: not processes(unfinished))
    assert first.process.wait() == -signum
    with embedded.running(data_dir) as url:
        remember(url, "kept")
    assert not unfinished.exists()


def test_database_is_made_after_a_death_before_it(data_dir: Path) -> None:
    """A cluster whose database was not created before a crash gets it at the next start."""
    with embedded.running(data_dir) as url, psycopg.connect(url, dbname="postgres") as db:
        db.autocommit = True
        db.execute("drop database session_history")
    with embedded.running(data_dir) as url:
        remember(url, "kept")
