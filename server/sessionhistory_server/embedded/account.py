"""The account of the operating system that Postgres runs under."""

from __future__ import annotations

import os
import pwd
import stat
from typing import TYPE_CHECKING, NamedTuple

from sessionhistory_server.embedded.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from pathlib import Path

_UNPRIVILEGED = ("postgres", "nobody")


class Account(NamedTuple):
    """A user of this machine, with its primary group only."""

    name: str
    uid: int
    gid: int

    def adopt(self, folder: Path) -> None:
        """Give a folder that this process has just created to the account."""
        if os.geteuid() == 0:
            os.chown(folder, self.uid, self.gid)

    def reaches(self, path: Path) -> bool:
        """Return whether the permission bits let the account reach and read a path.

        A program or folder must also be executable, and so must every folder on the way.
        """
        path = path.resolve()
        if not all(self._may(folder, 0o1) for folder in path.parents):
            return False
        return self._may(path, 0o5)

    def _may(self, path: Path, wanted: int) -> bool:
        try:
            status = path.stat()
        except OSError:
            return False
        if self.uid == 0:
            return True
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return stat.S_IMODE(status.st_mode) >> shift & wanted == wanted


def serving(cluster: Path) -> Account:
    """Return the account to run Postgres under for a cluster that may not exist yet.

    An ordinary user runs Postgres under its own account. Postgres refuses root, so that root uses `postgres`
    or else `nobody`. A cluster keeps the account that created it.

    Raises:
        EmbeddedPostgresError: The cluster belongs to another account, or root finds no account.
    """
    candidates = _candidates()
    if not cluster.exists():
        return candidates[0]
    owner = cluster.stat().st_uid
    for account in candidates:
        if account.uid == owner:
            return account
    raise EmbeddedPostgresError(
        f"{cluster} belongs to {_named(owner).name}, but Postgres would run as"
        f" {candidates[0].name}: start as the user that created it, or choose another --data-dir"
    )


def _candidates() -> list[Account]:
    if os.geteuid() != 0:
        return [_named(os.geteuid())]
    known = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    entries = [known[name] for name in _UNPRIVILEGED if name in known]
    if not entries:
        raise EmbeddedPostgresError(
            "Postgres refuses to run as root, and there is no account 'postgres' or 'nobody':"
            " add one, or start as an ordinary user"
        )
    return [Account(entry.pw_name, entry.pw_uid, entry.pw_gid) for entry in entries]


def _named(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(f"user {uid}", uid, os.getegid())
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
