"""The plugin does not affect tests that do not use it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugin_support import Project

    from support.proxy_trap import ProxyTrap

pytest_plugins = "pytester"

IMPORTED = """
import sys
import pytest
before = {*sys.modules}
import sessionhistory_pytest
print(*{*sys.modules} - before)
"""

UNUSED = """
import sys

def test_unused(request):
    assert request.config.pluginmanager.has_plugin("session_history")
    assert not {"grpc", "google.protobuf", "psycopg", "sqlalchemy", "sessionhistory"} & {*sys.modules}
"""

USED = "def test_used(session_history_client): pass"


def test_the_plugin_imports_nothing_until_it_is_used() -> None:
    """Importing the plugin, as every run of pytest does, imports nothing else and prints nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORTED], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "sessionhistory_pytest\n", "")


def test_a_run_that_uses_none_of_it_starts_nothing(project: Project) -> None:
    """A run without its fixtures imports no heavy package, and starts no server."""
    project.write(test_unused=UNUSED)
    project.run().assert_outcomes(passed=1)
    assert not list(project.temporary.iterdir())


def test_where_the_environment_names_a_proxy(project: Project, proxy_trap: ProxyTrap) -> None:
    """The environment's proxy is not used, because all servers are on this machine."""
    project.write(test_used=USED)
    project.run().assert_outcomes(passed=1)
    assert not proxy_trap.was_asked


def test_the_plugin_can_be_switched_off(project: Project) -> None:
    """With ``-p no:session_history`` the fixtures do not exist."""
    project.write(test_used=USED, test_others="def test_others(): pass")
    result = project.run("-p", "no:session_history")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("*fixture 'session_history_client' not found")


def test_the_fixtures_explain_themselves(project: Project) -> None:
    """``pytest --fixtures`` lists the public fixtures with their descriptions."""
    listed = project.run("--fixtures").stdout.str()
    for name in ("session_history_client", "session_history_server", "session_history_target"):
        assert f"\n{name}" in listed
    assert "_session_history_process" not in listed
