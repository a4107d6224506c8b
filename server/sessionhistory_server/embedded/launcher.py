"""Run a Postgres program that does not outlive the server. This module is a script.

This is a program and not a `preexec_fn`, because that would run in a fork of a process in which gRPC may
have threads already: the fork can hang, and Python 3.12 warns of it.

Arguments: the server's process id, the signal when the server ends, uid, gid, the program and its arguments.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
# The whole environment of Postgres: the user's PGDATA, PGOPTIONS, TZ and LANG do not reach it.
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}


def main(arguments: list[str]) -> None:
    """Change the account, request a signal for the end of the server, and execute the program."""
    parent, death, uid, gid = map(int, arguments[:4])
    command = arguments[4:]
    if os.geteuid() == 0:
        _become(uid, gid)
    # After the change of account, which would clear the request for a signal.
    _die_with(parent, death)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execve(command[0], command, _ENVIRONMENT)  # noqa: S606 - the program needs no shell
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
