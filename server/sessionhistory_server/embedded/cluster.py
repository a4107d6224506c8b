"""The cluster: the folder with the data of Postgres."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sessionhistory_server.embedded import log, program
from sessionhistory_server.embedded.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from sessionhistory_server.embedded.account import Account

VERSION = 18
_UNFINISHED = "postgres.new-"
_INITDB = (
    "--username=session_history",
    "--auth-local=trust",
    "--auth-host=reject",
    "--locale-provider=builtin",
    "--locale=C.UTF-8",
    "--encoding=UTF8",
    "--no-instructions",
)


def create(cluster: Path, account: Account, programs: Path) -> None:
    """Create a new cluster. It gets its name when it is complete, so an unfinished cluster never has it.

    Raises:
        EmbeddedPostgresError: initdb failed.
    """
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=cluster.parent))
    try:
        account.adopt(unfinished)
        _initdb(unfinished, account, programs)
        unfinished.rename(cluster)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _sync(cluster.parent)


def discard_unfinished(data_dir: Path) -> None:
    """Remove the unfinished clusters of interrupted runs of `create`."""
    for folder in data_dir.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(folder, ignore_errors=True)


def check(cluster: Path) -> None:
    """Check that the embedded Postgres can serve a cluster.

    Raises:
        EmbeddedPostgresError: The cluster has another major version, or the folder is not a cluster.
    """
    try:
        version = (cluster / "PG_VERSION").read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        raise EmbeddedPostgresError(
            f"{cluster} is no Postgres cluster: move it elsewhere, or choose another --data-dir"
        ) from None
    if version != str(VERSION):
        raise EmbeddedPostgresError(
            f"{cluster} was made by Postgres {version} and this is {VERSION}: move the data"
            f" with Postgres {version}'s pg_dump, or choose another --data-dir"
        )


def _initdb(folder: Path, account: Account, programs: Path) -> None:
    with program.start(
        [programs / "initdb", *_INITDB],
        folder,
        account,
        death=signal.SIGKILL,
        output=subprocess.PIPE,
    ) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise EmbeddedPostgresError(
            f"initdb could not create {folder.parent / 'postgres'}:"
            f" {log.cause(output.decode(errors='replace'))}"
        )


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
