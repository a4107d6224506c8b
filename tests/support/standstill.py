"""A plugin by which a run of tests never stands still: it ends tests that hang, and names those cut short.

pytest-timeout fails a test that takes too long. It cannot end one whose main thread is in C code or in
uvloop, nor the teardown of a test that has failed. Then this plugin ends the process at twice the time, with
the traces of all threads; pytest-xdist replaces it, and counts the test as failed.
"""

from __future__ import annotations

import faulthandler
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


@pytest.hookimpl(wrapper=True, tryfirst=True)
def _limited(item: pytest.Item) -> Generator[None, object, object]:
    """End the process if a phase of a test takes too long."""
    if seconds := _limit_seconds(item.config):
        faulthandler.dump_traceback_later(2 * seconds, file=item.config.stash[_STDERR], exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


# Each phase by itself, because pytest and pytest-timeout take their limits away where a phase fails.
pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = _limited


def _limit_seconds(config: pytest.Config) -> float:
    """Return the limit of pytest-timeout; 0: none."""
    asked = config.getoption("timeout")
    return float(config.getini("timeout") or 0) if asked is None else float(asked)


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
