"""The tests of the store pass on the older versions of Postgres that the service supports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from sessionhistory_server import embedded
from sessionhistory_server.embedded import account as accounts
from sessionhistory_server.embedded import program, sockets, wheel
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sessionhistory_server.embedded.account import Account

ROOT = Path(__file__).parents[2]
DEBIAN_PROGRAMS = Path("/usr/lib/postgresql/15/bin")

SUITE = ["store", "migration", "rpc/test_appends.py", "rpc/test_sessions.py"]
"""Below tests: every test that sends SQL itself, and some of the others."""

INITDB = ["--username=session_history", "--auth=trust", "--locale=C.UTF-8", "--encoding=UTF8", "--no-sync"]


def debian_15(_: Account) -> Path:
    """Return the programs of Debian's Postgres 15."""
    if not (DEBIAN_PROGRAMS / "postgres").exists():
        missing(f"no Postgres 15 in {DEBIAN_PROGRAMS}: apt install postgresql-15")
    return DEBIAN_PROGRAMS


def wheel_16(account: Account) -> Path:
    """Return the programs of the wheel's Postgres 16, if the account can run them."""
    try:
        return wheel.reachable(account, 16, lambda _: None)
    except embedded.EmbeddedPostgresError as error:
        missing(str(error))
        raise


def missing(what: str) -> None:
    """Skip the test, or fail if skipping is not allowed."""
    if os.environ.get("SESSION_HISTORY_REQUIRE_TOOLS"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every account can reach."""
    made = Path(tempfile.mkdtemp(dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@contextmanager
def running(programs: Path, account: Account, folder: Path) -> Iterator[str]:
    """Run a Postgres until the end of the block; yield its URL."""
    cluster, socket = folder / "cluster", sockets.name(account)
    cluster.mkdir(mode=0o700)
    account.adopt(cluster)
    sockets.make(socket, account)
    with (folder / "log").open("wb") as log:
        terms = {"cluster": cluster, "account": account, "output": log.fileno()}
        with program.start([programs / "initdb", *INITDB], death=signal.SIGKILL, **terms) as initdb:
            assert initdb.wait() == 0, (folder / "log").read_text()
        settings = [*sockets.settings(socket), "fsync=off", "max_connections=100"]
        flags = [flag for setting in settings for flag in ("-c", setting)]
        with program.start([programs / "postgres", *flags], death=signal.SIGINT, **terms) as postgres:
            url = sockets.url(socket, "postgres")
            try:
                eventually(lambda: postgres.poll() is not None or answers(url))
                assert postgres.poll() is None, (folder / "log").read_text()
                yield url
            finally:
                postgres.send_signal(signal.SIGINT)
                postgres.wait()
                sockets.discard(socket, account)


def answers(url: str) -> bool:
    """Return whether a Postgres accepts connections."""
    with suppress(psycopg.OperationalError), psycopg.connect(url):
        return True
    return False


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(("version", "find"), [(15, debian_15), (16, wheel_16)], ids=["15", "16"])
def test_the_suite_passes_on(version: int, find: Callable[[Account], Path], folder: Path) -> None:
    """Statements, plans and migrations pass on an older version of Postgres too."""
    account = accounts.serving(folder / "cluster")
    with running(find(account), account, folder) as url:
        with psycopg.connect(url) as connection:
            assert connection.info.server_version // 10_000 == version
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITE],
            cwd=ROOT / "tests",
            env=os.environ | {"SESSION_HISTORY_TEST_DATABASE_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout
