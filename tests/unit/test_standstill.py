"""A run of tests goes on after a test that hangs, or that kills its process, and names it."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.service import PATIENCE_SECONDS
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

pytest_plugins = "pytester"

_TEARDOWN = """
import pytest
import signal

@pytest.fixture
def slow():
    yield
    signal.pause()

@pytest.mark.timeout(0.4)
def test_hangs(slow):
    raise AssertionError
"""

_UVLOOP = """
import asyncio
import uvloop

def test_hangs():
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.Event().wait())
"""

_FAULT = """
import os
import signal

def test_dies():
    os.kill(os.getpid(), signal.SIGSEGV)
"""

_LONG = """
import pytest

@pytest.mark.parametrize("number", range(8))
def test_short(number): pass

@pytest.mark.timeout(9)
@pytest.mark.parametrize("number", range(3))
def test_long(number): pass
"""

_PASSES = "def test_passes(): pass"

# In a single wait, a signal just before its system call would be lost.
_PAUSES = """
import pathlib
import time

def test_pauses():
    pathlib.Path("begun").touch()
    while True:
        time.sleep(0.01)
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> Callable[..., list[str]]:
    """Writes a project whose tests have a limit; returns the arguments of pytest for it."""

    def write(limit_seconds: float, **files: str) -> list[str]:
        tests = Path(__file__).parents[1]
        pytester.makefile(".ini", pytest=f"[pytest]\npythonpath = {tests}\ntimeout = {limit_seconds}\n")
        pytester.makeconftest('pytest_plugins = ["support.standstill"]')
        pytester.makepyfile(**files)
        return [f"-pno:{plugin}" for plugin in ("asyncio", "hypothesispytest", "randomly", "session_history")]

    return write


def test_tests_that_end_their_process(pytester: pytest.Pytester, project: Callable[..., list[str]]) -> None:
    """Each counts as failed and is named; stderr has the traces; the next test runs."""
    arguments = project(0.5, test_1=_TEARDOWN, test_2=_UVLOOP, test_3=_FAULT, test_4=_PASSES)
    result = pytester.runpytest_subprocess(
        *arguments, "--numprocesses=1", "--dist=worksteal", timeout=2 * PATIENCE_SECONDS
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes()["passed"] == 1
    for test in ("test_1.py::test_hangs", "test_2.py::test_hangs", "test_3.py::test_dies"):
        assert f"\nDID NOT END {test}\n" in result.stdout.str()
        assert f"crashed while running '{test}'" in result.stdout.str()
    for reason, place in (
        (r"Timeout \(0:00:00\.8", r'test_1.py", line \d+ in slow'),
        (r"Timeout \(0:00:01\)", r'test_2.py", line \d+ in test_hangs'),
        ("Segmentation fault", r'test_3.py", line \d+ in test_dies'),
    ):
        assert re.search(f"{reason}.*{place}\n", result.stderr.str(), re.DOTALL)


def test_long_tests_begin(
    pytester: pytest.Pytester, project: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker's part begins with long tests; the parts have the same length."""
    arguments = project(PATIENCE_SECONDS, test_1=_LONG)
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    result = pytester.runpytest_subprocess(*arguments, "--collect-only", "-q", timeout=PATIENCE_SECONDS)
    found = re.findall(r"::test_(long|short)\[(\d)\]", result.stdout.str())
    first, second = found[:5], found[5:]
    assert [kind for kind, _ in first] == ["long"] * 2 + ["short"] * 3
    assert [kind for kind, _ in second] == ["long"] + ["short"] * 5
    assert sorted(found) == [("long", str(n)) for n in range(3)] + [("short", str(n)) for n in range(8)]


def test_an_interrupt(pytester: pytest.Pytester, project: Callable[..., list[str]]) -> None:
    """An interrupted run names the test that did not end."""
    arguments = project(PATIENCE_SECONDS, test_1=_PAUSES)
    output = pytester.path / "output"
    with output.open("wb") as file:
        process = pytester.popen([sys.executable, "-mpytest", *arguments], stdout=file, stderr=file)
    eventually((pytester.path / "begun").exists)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_SECONDS) == pytest.ExitCode.INTERRUPTED
    assert "\nDID NOT END test_1.py::test_pauses\n" in output.read_text()
