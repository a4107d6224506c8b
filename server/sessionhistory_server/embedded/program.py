"""Starting a Postgres program on a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Sequence

    from sessionhistory_server.embedded.account import Account

_LAUNCHER = Path(__file__).with_name("launcher.py")
_DESCRIPTORS = Path("/proc/self/fd")


@contextmanager
def started(
    command: Sequence[str | Path],
    cluster: Path,
    account: Account,
    *,
    death: signal.Signals,
    output: int,
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a program as `account`; on leaving it must have ended or be ended by the block.

    Args:
        command: The program and its arguments, without `-D`.
        cluster: The folder of the cluster, which the account need not be able to reach.
        account: Who runs it.
        death: The signal the program gets when our main thread ends in whatever way.
        output: A file descriptor, or `subprocess.PIPE`.
    """
    folder = os.open(cluster, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        process = _start([*command, "-D", _location(folder, cluster)], account, death, folder, output)
    finally:
        os.close(folder)
    with process:
        yield process


def _start(
    command: Sequence[str | Path], account: Account, death: signal.Signals, folder: int, output: int
) -> subprocess.Popen[bytes]:
    launcher = (sys.executable, "-I", "-S", _LAUNCHER)
    terms = (os.getpid(), death.value, account.uid, account.gid)
    arguments: list[str | Path] = [*launcher, *map(str, terms), *command]
    return subprocess.Popen(  # noqa: S603 - the programs are ours, without a shell
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=(folder,),
        cwd="/",
        # Ctrl-C in the terminal is for the server, which then stops Postgres in its own time.
        start_new_session=True,
    )


def _location(folder: int, cluster: Path) -> str:
    """Names the cluster through an open descriptor: parents of it may be closed to the account."""
    return str(_DESCRIPTORS / str(folder)) if _DESCRIPTORS.exists() else str(cluster.resolve())
