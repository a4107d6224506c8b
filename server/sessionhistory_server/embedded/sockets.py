"""The private folder of the Unix socket.

It does not lie in the data directory, whose path may be longer than a socket's name can be
(107 bytes) and which the account of Postgres may not be able to reach.
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
    """Returns a free name for the folder, in a temporary folder that `account` can use.

    Raises:
        EmbeddedPostgresError: No temporary folder is short enough and open to the account.
    """
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - the folder is 0700
        folder = Path(parent).resolve() / f"{_PREFIX}{secrets.token_hex(4)}"
        if _fits(folder) and account.reaches(folder.parent) and os.access(folder.parent, os.W_OK):
            return folder
    raise EmbeddedPostgresError(
        f"no temporary folder that {account.name} can use for a socket: set TMPDIR to a short path"
    )


def make(folder: Path, account: Account) -> None:
    """Makes the folder, for `account` alone."""
    folder.mkdir(mode=0o700)
    account.adopt(folder)


def discard(folder: Path, account: Account) -> None:
    """Removes the folder of this or of a dead run; anything that is not such a folder stays."""
    try:
        status = folder.lstat()
    except OSError:
        return
    if folder.name.startswith(_PREFIX) and status.st_uid in {account.uid, os.geteuid()}:
        shutil.rmtree(folder, ignore_errors=True)


def url(folder: Path, database: str) -> str:
    """Returns the libpq URL of `database`; the port is named because PGPORT may be set."""
    return f"postgresql://session_history@{quote(str(folder), safe='')}:{_PORT}/{database}"


def settings(folder: Path) -> list[str]:
    """Returns the settings that make Postgres listen in the folder and nowhere else."""
    quoted = str(folder).replace('"', '""')
    return ["listen_addresses=", f"port={_PORT}", f'unix_socket_directories="{quoted}"']


def _fits(folder: Path) -> bool:
    # libpq takes a host with a comma for two hosts.
    short = len(os.fsencode(folder / f".s.PGSQL.{_PORT}")) <= _MAX_BYTES
    return short and "," not in str(folder)
