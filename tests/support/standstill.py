"""A plugin by which a run of tests is short and never stands still: it ends tests that hang, and names them.

pytest-timeout fails a test that takes too long. It cannot end one whose main thread is in C code or in
uvloop, nor the teardown of a test that has failed. Then this plugin ends the process at twice the time, with
the traces of all threads; pytest-xdist replaces it, and counts the test as failed. Tests whose marker
``timeout`` gives them a limit of their own are long, and begin first.
"""

from __future__ import annotations

import faulthandler
import gc
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_STDERR = pytest.StashKey[int]()

_begun: set[str] = set()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the stderr of the process, for pytest replaces it while a test runs."""
    config.stash[_STDERR] = os.dup(2)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close that stderr."""
    os.close(config.stash[_STDERR])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each worker begin with long tests, or one runs alone in the end: those with limits of their own."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("timeout")]
    short = [item for item in items if not item.get_closest_marker("timeout")]
    count = len(items)
    items.clear()
    for worker in range(workers):  # pytest-xdist gives each a part of the list, of one length
        begin = long[worker::workers]
        rest = max((count - len(items)) // (workers - worker) - len(begin), 0)
        items += begin + short[:rest]
        del short[:rest]
    items += short


def pytest_collection_finish() -> None:
    """Let the garbage collector skip the collected tests, because they live as long as the process."""
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def _limited(item: pytest.Item) -> Generator[None, object, object]:
    """End the process if a phase of a test takes too long."""
    if seconds := _limit_seconds(item):
        faulthandler.dump_traceback_later(2 * seconds, file=item.config.stash[_STDERR], exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


# Each phase by itself, because pytest and pytest-timeout take their limits away where a phase fails.
pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = _limited


def _limit_seconds(item: pytest.Item) -> float:
    """Return the limit of pytest-timeout; 0: none."""
    if marker := item.get_closest_marker("timeout"):
        return float(marker.args[0])
    asked = item.config.getoption("timeout")
    return float(item.config.getini("timeout") or 0) if asked is None else float(asked)


def pytest_runtest_logstart(nodeid: str) -> None:
    """Keep the names of the tests that have begun."""
    _begun.add(nodeid)


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Forget those that have ended."""
    _begun.discard(nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that a crash or the end of the run has cut short."""
    for nodeid in sorted(_begun):
        terminalreporter.write_line(f"DID NOT END {nodeid}")
