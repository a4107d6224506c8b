"""Start a Postgres program on a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence

    from sessionhistory_server.embedded.account import Account

_LAUNCHER = Path(__file__).with_name("launcher.py")
_DESCRIPTORS = Path("/proc/self/fd")


def start(
    command: Sequence[str | Path],
    cluster: Path,
    account: Account,
    *,
    death: signal.Signals,
    output: int,
) -> subprocess.Popen[bytes]:
    """Start a program. The caller must end it, and wait for its end.

    Call this on the main thread: the program gets the signal `death` when the thread that started it ends.

    Args:
        command: The program and its arguments, without `-D`.
        cluster: The folder of the cluster, which the account need not be able to reach.
        account: The account that runs the program.
        death: The signal for the program when the main thread of this process ends.
        output: A file descriptor, or `subprocess.PIPE`.
    """
    folder = os.open(cluster, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _start([*command, "-D", _location(folder, cluster)], account, death, folder, output)
    finally:
        os.close(folder)


def _start(
    command: Sequence[str | Path], account: Account, death: signal.Signals, folder: int, output: int
) -> subprocess.Popen[bytes]:
    launcher = (sys.executable, "-I", "-S", _LAUNCHER)
    terms = (os.getpid(), death.value, account.uid, account.gid)
    arguments: list[str | Path] = [*launcher, *map(str, terms), *command]
    return subprocess.Popen(  # noqa: S603 - the programs are fixed, and run without a shell
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=(folder,),
        cwd="/",
        # The terminal must not send Ctrl-C to Postgres: the server stops it after its own stop.
        start_new_session=True,
    )


def _location(folder: int, cluster: Path) -> str:
    """Return a path through an open descriptor: the account may be unable to reach the folder itself."""
    return str(_DESCRIPTORS / str(folder)) if _DESCRIPTORS.exists() else str(cluster.resolve())
