"""A process that runs the embedded Postgres: prints its URL, and stops when its input ends."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from pathlib import Path

from embedded_support import PUBLIC_PATH

from sessionhistory_server import embedded
from sessionhistory_server.embedded import server, wheel


def main() -> None:
    """Run the command that the arguments name; an EmbeddedPostgresError ends it with its message."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--uid", type=int, help="become this ordinary user first")
    parser.add_argument("--outlived", action="store_true", help="let Postgres survive us")
    parser.add_argument("--programs", type=Path, help="take the programs from this folder")
    options = parser.parse_args()
    if options.uid is not None:
        _become(options.uid)
    if options.outlived:
        server.DEATH_SIGNAL = signal.SIGCONT  # one that does nothing to Postgres
    if options.programs:
        wheel.reachable = lambda *_: options.programs
    _run(options.data_dir)


def _run(data_dir: Path) -> None:
    try:
        with embedded.running(data_dir) as url:
            print(url, flush=True)  # noqa: T201 - the parent reads it
            sys.stdin.read()
    except embedded.EmbeddedPostgresError as error:
        sys.exit(str(error))


def _become(uid: int) -> None:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    # The suite's interpreter may be below /root; for the launcher any other Python is enough.
    if not os.access(sys.executable, os.X_OK):
        sys.executable = shutil.which("python3", path=PUBLIC_PATH) or sys.executable


if __name__ == "__main__":
    main()
