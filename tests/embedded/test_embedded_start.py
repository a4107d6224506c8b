"""The embedded Postgres starts, keeps its data and ends without leaving anything."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import psycopg
import pytest
from embedded_support import postmaster, processes, remember, remembered, socket_folder

from sessionhistory_server import embedded


def test_first_start_creates_a_database(data_dir: Path) -> None:
    """The first start logs that it creates a database, in a folder that only this user can read."""
    reports: list[str] = []
    with embedded.running(data_dir, report=reports.append) as url, psycopg.connect(url) as db:
        row = db.execute("select current_user, current_database()").fetchone()
    assert row == ("session_history", "session_history")
    assert any("creating a new database" in report for report in reports)
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700


def test_second_start_finds_the_data(data_dir: Path) -> None:
    """A stop and a second start keep committed data, and the second start logs nothing slow."""
    with embedded.running(data_dir) as url:
        remember(url, "kept")
    reports: list[str] = []
    with embedded.running(data_dir, report=reports.append) as url:
        assert remembered(url) == ["kept"]
    assert reports == []


def test_a_volume_of_its_own(data_dir: Path) -> None:
    """A new file system counts as an empty folder; later files beside our data do no harm."""
    (data_dir / "lost+found").mkdir(parents=True)
    with embedded.running(data_dir) as url:
        remember(url, "kept")
    (data_dir / "backup.dump").touch()
    with embedded.running(data_dir) as url:
        assert remembered(url) == ["kept"]


def test_settings_protect_the_data(data_dir: Path) -> None:
    """The database syncs, sorts text the same everywhere, checks its pages, and has no TCP port."""
    names = ("fsync", "jit", "listen_addresses", "data_checksums", "server_encoding", "timezone")
    with embedded.running(data_dir) as url, psycopg.connect(url) as db:
        values = [db.execute("select current_setting(%s)", [name]).fetchone() for name in names]
        query = "select datlocprovider, datlocale from pg_database where datname = current_catalog"
        locale = db.execute(query).fetchone()
    assert values == [("on",), ("off",), ("",), ("on",), ("UTF8",), ("UTC",)]
    assert locale == ("b", "C.UTF-8")


@pytest.mark.parametrize(
    "name",
    ["with space", "Ünï-код-履歴", 'it\'s "quoted" $HOME `x` %41', "/".join(["x" * 60] * 30)],
)
def test_any_path_works(tmp_path: Path, name: str) -> None:
    """A data directory may have any name, and a path of any length."""
    with embedded.running(tmp_path / name) as url:
        remember(url, name)
        assert remembered(url) == [name]


def test_relative_path_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path counts from the working folder, even if that changes later."""
    monkeypatch.chdir(tmp_path)
    with embedded.running(Path("data")) as url:
        monkeypatch.chdir("/")
        remember(url, "kept")
    assert (tmp_path / "data" / "postgres" / "PG_VERSION").exists()


def test_settings_of_the_environment_do_not_matter(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables for another Postgres affect neither ours nor its clients."""
    for name, value in {"PGDATA": "/nowhere", "PGPORT": "1", "PGHOST": "nowhere"}.items():
        monkeypatch.setenv(name, value)
    with embedded.running(data_dir) as url:
        remember(url, "kept")


def test_parents_stay_as_they_were(tmp_path: Path) -> None:
    """Folders above the data directory keep their mode and owner."""
    parent = tmp_path / "private"
    parent.mkdir(mode=0o700)
    before = [(each.stat().st_mode, each.stat().st_uid) for each in parent.parents]
    with embedded.running(parent / "data") as url:
        remember(url, "kept")
    assert [(each.stat().st_mode, each.stat().st_uid) for each in parent.parents] == before
    assert stat.S_IMODE(parent.stat().st_mode) == 0o700
    assert parent.stat().st_uid == os.geteuid()


def test_the_socket_is_private(data_dir: Path) -> None:
    """Other users cannot reach the socket, which needs no password."""
    with embedded.running(data_dir) as url:
        folder = socket_folder(url)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.stat().st_uid == (data_dir / "postgres").stat().st_uid


@pytest.mark.parametrize("name", ["with space \" '%2F", "with,comma", "x" * 100, "履歴"])
def test_any_temporary_folder_works(
    data_dir: Path, public_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The socket is in the system's temporary folder, or in another that works."""
    (public_dir / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(public_dir / name))
    with embedded.running(data_dir) as url:
        remember(url, "kept")
        assert remembered(url) == ["kept"]


def test_ctrl_c_is_for_us_alone(data_dir: Path) -> None:
    """Postgres runs in another terminal session, so that it does not get Ctrl-C."""
    with embedded.running(data_dir):
        assert os.getsid(postmaster(data_dir)) != os.getsid(0)


def test_stop_leaves_nothing(data_dir: Path) -> None:
    """After the block no process and no socket folder is left, even with open connections."""
    with embedded.running(data_dir) as url:
        folder = socket_folder(url)
        client = psycopg.connect(url)
        assert processes(data_dir / "postgres")
    client.close()
    assert not processes(data_dir / "postgres")
    assert not folder.exists()
    assert sorted(each.name for each in data_dir.iterdir()) == ["lock", "postgres", "postgres.log"]


def test_an_error_in_the_block_passes_and_stops_postgres(data_dir: Path) -> None:
    """The block's own error is raised, and Postgres is stopped."""
    with pytest.raises(OSError, match="mine"), embedded.running(data_dir):
        raise OSError("mine")
    assert not processes(data_dir / "postgres")


def test_a_long_log_is_put_aside(data_dir: Path) -> None:
    """A log above a few megabytes is replaced by a new one, and the old one is kept."""
    data_dir.mkdir()
    for text in (b"older", b"old"):
        (data_dir / "postgres.log").write_bytes(text * 2_000_000)
        with embedded.running(data_dir):
            pass
        assert (data_dir / "postgres.log").stat().st_size < 1_000_000
    assert (data_dir / "postgres.log.1").read_bytes().startswith(b"oldold")


@pytest.mark.parametrize("version", [16, 18])
def test_binaries(version: int) -> None:
    """The programs of both versions in the wheel are found."""
    assert os.access(embedded.binaries(version) / "psql", os.X_OK)
