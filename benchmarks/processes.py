"""Run programs beside the benchmark. Each is stopped by its process id, also after an error."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).parents[1]
PEERS_PYTHON: Final = ROOT / ".tools" / "peers" / "bin" / "python"
"""The Python with the packages of the peers and of the control, if they are installed."""
PATIENCE_SECONDS: Final = 60.0
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOP_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.005

# Settings of Python are removed, too: the service runs from bytecode, as an installed one does, even if this
# environment keeps no bytecode.
_SETTINGS: Final = ("SESSION_HISTORY_", "PG", "PYTHON")


def environment(**variables: str) -> dict[str, str]:
    """Return the environment without settings of the service, libpq and Python, plus ``variables``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    return kept | variables


def module(name: str, *, python: str | Path = sys.executable) -> list[str]:
    """Return the command that runs a module of this package."""
    return [str(python), "-m", f"benchmarks.{name}"]


@contextmanager
def running(
    command: Sequence[str | Path], log: Path, *, pipes: bool = False, variables: Mapping[str, str] = {}
) -> Iterator[subprocess.Popen[str]]:
    """Run a program for the length of the block, in the project's folder.

    Args:
        command: The program and its arguments.
        log: A file for its stderr, and for its stdout unless ``pipes`` is set.
        pipes: Whether the block writes to its stdin and reads its stdout.
        variables: Environment variables that are set for the program.
    """
    process = None
    try:
        with log.open("a") as output, _signals_deferred():
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(**variables),
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else output,
                stderr=output,
                text=True,
                # Ctrl-C reaches this process alone, which stops the programs in order.
                start_new_session=True,
            )
        yield process
    finally:
        if process is not None:
            _stop(process)


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Deliver stop signals after the block, so that a program that has just started is not left running."""
    came: list[int] = []
    handlers = {name: signal.signal(name, lambda number, _: came.append(number)) for name in STOP_SIGNALS}
    try:
        yield
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)
        for number in came[:1]:
            signal.raise_signal(number)


def finish(process: subprocess.Popen[Any], seconds: float) -> int:
    """Wait for a process to end; return its exit code.

    Raises:
        InvalidError: the process did not end in time.
    """
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired as late:
        raise InvalidError(f"process {process.pid} did not end within {seconds:.0f} s") from late


def _stop(process: subprocess.Popen[str]) -> None:
    try:
        process.terminate()
        process.wait(_STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt, SystemExit):
        os.killpg(process.pid, signal.SIGKILL)  # the process leads its own group
        process.wait()
    finally:
        for pipe in filter(None, (process.stdin, process.stdout)):
            pipe.close()


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[str], log: Path) -> None:
    """Wait until a process listens.

    Raises:
        InvalidError: the process ended, or did not listen within a minute.
    """
    wait_until(lambda: _listens(port), process, log)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], log: Path) -> None:
    """Wait until a process has made a condition true.

    Raises:
        InvalidError: the process ended, or the condition was still false after a minute.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise InvalidError(f"{Path(str(log)).stem} did not start: {last_line(log)}")
        time.sleep(_POLL_SECONDS)


def last_line(log: Path) -> str:
    """Return the last line of a log that is not empty."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "the log is empty"


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of its descendants, including those that have ended."""
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    running = sum(map(_cpu_seconds_of_child, children))
    ended = sum(map(int, _fields(pid)[13:15])) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(_cpu_clock(pid)) + running + ended


def _cpu_seconds_of_child(pid: int) -> float:
    try:
        return cpu_seconds(pid)
    except OSError:  # it has ended meanwhile, and its time is in that of its parent
        return 0.0


def _cpu_clock(pid: int) -> int:
    """Return the clock of the CPU time of a process, as the C library's `clock_getcpuclockid` does.

    /proc counts in steps of 10 ms, which is too coarse for processes that work little.
    """
    return (~pid << 3) | 2


def parent(pid: int) -> int:
    """Return the id of the parent of a process."""
    return int(_fields(pid)[1])


def _fields(pid: int) -> list[str]:
    """Return the fields of a process's /proc/PID/stat, from its state on."""
    _, _, fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
    return fields.split()
