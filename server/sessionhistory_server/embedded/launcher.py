"""Turns itself into a Postgres program that cannot outlive the server. Run as a script.

A program of its own and not a `preexec_fn`: that would fork a process in which gRPC may already
have threads, which can hang and which Python 3.12 warns about.

Arguments: the server's process id, the signal to die by, uid, gid, the program and its arguments.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
# Nothing of the user's settings (PGDATA, PGOPTIONS, TZ, LANG) reaches Postgres.
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}


def main(arguments: list[str]) -> None:
    """Changes the account, ties our life to the server's, and becomes the program."""
    parent, death, uid, gid = map(int, arguments[:4])
    command = arguments[4:]
    if os.geteuid() == 0:
        _become(uid, gid)
    # After the change of account, which clears it.
    _die_with(parent, death)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execve(command[0], command, _ENVIRONMENT)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"FATAL: cannot run {command[0]}: {error.strerror}")


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _die_with(parent: int, death: int) -> None:
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(death))
    if os.getppid() != parent:
        sys.exit("FATAL: the server died while Postgres was starting")


if __name__ == "__main__":
    main(sys.argv[1:])
