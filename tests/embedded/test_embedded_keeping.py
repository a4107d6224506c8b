"""The keeper restarts a Postgres that has ended."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from embedded_support import eventually, kill, postmaster, processes, remember, remembered

from sessionhistory_server import embedded
from sessionhistory_server.embedded import keeper as keepers

if TYPE_CHECKING:
    from pathlib import Path


def _answers(keeper: embedded.Keeper) -> bool:
    keeper.tend()
    try:
        psycopg.connect(keeper.url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_postgres_that_ends_is_started_again(
    data_dir: Path, caplog: pytest.LogCaptureFixture, signum: signal.Signals
) -> None:
    """A killed Postgres is restarted with all commits, and the log says so."""
    with embedded.kept(data_dir) as keeper:
        remember(keeper.url, "kept")
        before = postmaster(data_dir)
        os.kill(before, signum)
        eventually(lambda: before not in processes(data_dir / "postgres"))
        eventually(lambda: _answers(keeper))
        assert remembered(keeper.url) == ["kept"]
        assert postmaster(data_dir) != before
    how = "SIGKILL" if signum == signal.SIGKILL else "exit code 0"
    assert [record.getMessage() for record in caplog.records] == [
        f"the embedded Postgres ended ({how}): starting it again"
    ]
    assert not processes(data_dir / "postgres")


def test_a_backend_that_outlives_it_is_ended_first(data_dir: Path) -> None:
    """A backend that does not notice its postmaster's end does not prevent the next start."""
    with embedded.kept(data_dir) as keeper:
        remember(keeper.url, "kept")
        with closing(psycopg.connect(keeper.url, autocommit=True)) as client:
            backend = client.info.backend_pid
            client.pgconn.send_query(b"do 'begin loop end loop; end'")
            client.pgconn.flush()
            kill(postmaster(data_dir))
            eventually(lambda: processes(data_dir / "postgres") == [backend])
            eventually(lambda: _answers(keeper))
            assert backend not in processes(data_dir / "postgres")
        assert remembered(keeper.url) == ["kept"]


def test_a_killed_backend_is_postgres_own_affair(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a backend is killed, Postgres recovers by itself, and the keeper does not restart it."""
    with embedded.kept(data_dir) as keeper:
        before = postmaster(data_dir)
        with closing(psycopg.connect(keeper.url)) as client:
            kill(client.info.backend_pid)
        eventually(lambda: _answers(keeper))
        assert postmaster(data_dir) == before
    assert not caplog.records


def test_one_that_ends_again_and_again_is_given_up(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After five starts in a row that did not last, the keeper raises an error with the reason."""
    monkeypatch.setattr(keepers, "_FIRST_DELAY_SECONDS", 0.01)

    def kill_and_tend() -> None:
        kill(*(pid for pid in processes(data_dir / "postgres") if pid == keeper._process.pid))  # noqa: SLF001
        keeper.tend()

    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(
            embedded.EmbeddedPostgresError, match="ended 6 times in a row, the last time with SIGKILL"
        ),
        embedded.kept(data_dir) as keeper,
    ):
        eventually(kill_and_tend)
    assert len(caplog.records) == 5
    assert not processes(data_dir / "postgres")
