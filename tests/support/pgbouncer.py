"""A PgBouncer in front of a Postgres, which has fewer sessions in Postgres than it has clients."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sessionhistory_server.embedded import account as accounts
from support.proxy import free_port
from support.tools import require
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

# Debian installs PgBouncer outside the usual PATH of users.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])

_CONFIGURATION = """
[databases]
* = {upstream}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {sessions}
max_client_conn = 1000
logfile = {folder}/log
pidfile = {folder}/pid
"""


class PgBouncer:
    """A running PgBouncer that leads to all databases of a Postgres."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process

    def url(self, database_url: str) -> str:
        """Return the URL of a database through the PgBouncer."""
        return make_conninfo(
            database_url, host="127.0.0.1", port=self.port, sslmode="disable", gssencmode="disable"
        )


@contextmanager
def running(
    postgres_url: str,
    mode: Literal["transaction", "session"] = "transaction",
    *,
    sessions: int = 4,
    users: tuple[str, ...] = (),
) -> Iterator[PgBouncer]:
    """Run a PgBouncer for the length of the block; skip the test where none is installed.

    Args:
        postgres_url: The Postgres.
        mode: The pool mode.
        sessions: The most sessions of Postgres for each user in each database.
        users: Roles that may connect beside the user of the URL.
    """
    require("pgbouncer", path=_PATH)
    program = shutil.which("pgbouncer", path=_PATH)
    assert program
    upstream = conninfo_to_dict(postgres_url)
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-", dir="/tmp"))
    port = free_port()
    values = {"folder": folder, "mode": mode, "port": port, "sessions": sessions}
    text = _CONFIGURATION.format(**values, upstream=_upstream(upstream))
    (folder / "pgbouncer.ini").write_text(text)
    password = upstream.get("password") or ""
    (folder / "users").write_text("".join(f'"{user}" "{password}"\n' for user in (upstream["user"], *users)))
    account = accounts.serving(folder / "none")  # PgBouncer refuses root, as Postgres does
    for path in (folder, *folder.iterdir()):
        account.adopt(path)
    as_account = {"user": account.uid, "group": account.gid, "extra_groups": []} if os.geteuid() == 0 else {}
    process = subprocess.Popen(
        [program, "--quiet", folder / "pgbouncer.ini"], stdin=subprocess.DEVNULL, **as_account
    )
    try:
        eventually(lambda: process.poll() is not None or _listens(port))
        assert process.poll() is None, (folder / "log").read_text()
        yield PgBouncer(port, process)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def _upstream(parameters: dict[str, str]) -> str:
    """Return the address of the Postgres as PgBouncer's configuration names it."""
    kept = {name: parameters[name] for name in ("host", "port", "password") if parameters.get(name)}
    return " ".join(f"{name}={value}" for name, value in kept.items())


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
