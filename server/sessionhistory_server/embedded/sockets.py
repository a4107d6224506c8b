"""The private folder of the Unix socket.

It is not in the data directory: the path of that directory may be too long for a socket's name (107 bytes),
and the account of Postgres may be unable to reach it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sessionhistory_server.embedded.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from sessionhistory_server.embedded.account import Account

_PREFIX = "session-history-"
_PORT = 5432
_MAX_BYTES = 103  # of the socket's path: 107 on Linux, 103 on macOS


def name(account: Account) -> Path:
    """Return a free name for the folder, in a temporary folder that the account can use.

    Raises:
        EmbeddedPostgresError: No temporary folder has a short enough path and is open to the account.
    """
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - the folder is 0700
        folder = Path(parent).resolve() / f"{_PREFIX}{secrets.token_hex(4)}"
        if _fits(folder) and account.reaches(folder.parent) and os.access(folder.parent, os.W_OK):
            return folder
    raise EmbeddedPostgresError(
        f"no temporary folder that {account.name} can use for a socket: set TMPDIR to a short path"
    )


def make(folder: Path, account: Account) -> None:
    """Create the folder, for the account alone."""
    folder.mkdir(mode=0o700)
    account.adopt(folder)


def discard(folder: Path, account: Account) -> None:
    """Remove the folder of this run or of a dead run; leave other folders unchanged."""
    try:
        status = folder.lstat()
    except OSError:
        return
    if folder.name.startswith(_PREFIX) and status.st_uid in {account.uid, os.geteuid()}:
        shutil.rmtree(folder, ignore_errors=True)


def clear(folder: Path) -> None:
    """Remove the socket of a dead Postgres: if its process id is reused, the next Postgres does not start."""
    for socket in folder.glob(f".s.PGSQL.{_PORT}*"):
        socket.unlink()


def url(folder: Path, database: str) -> str:
    """Return the libpq URL of a database. It has a port, because PGPORT may be set."""
    return f"postgresql://session_history@{quote(str(folder), safe='')}:{_PORT}/{database}"


def settings(folder: Path) -> list[str]:
    """Return the settings with which Postgres listens only in the folder."""
    quoted = str(folder).replace('"', '""')
    return ["listen_addresses=", f"port={_PORT}", f'unix_socket_directories="{quoted}"']


def _fits(folder: Path) -> bool:
    # libpq splits a host at commas.
    short = len(os.fsencode(folder / f".s.PGSQL.{_PORT}")) <= _MAX_BYTES
    return short and "," not in str(folder)
