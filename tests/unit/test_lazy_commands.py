"""Each command is imported when it is called, and names the package to install if the import fails."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from sessionhistory_cli.commands import cli
from sessionhistory_cli.lazy_command import LazyCommand

_HEAVY = ("alembic", "grpc", "prometheus_client", "psycopg", "sqlalchemy")

_ANY_PORT = "127.0.0.1:0"
_NOWHERE = "postgresql://127.0.0.1:1/none"
_SERVE = ["serve", "--database-url", _NOWHERE, "--listen", _ANY_PORT, "--metrics-listen", _ANY_PORT]

# Runs the command in a new interpreter, without some packages; then prints the loaded ones.
_RUN = f"""
import sys
sys.modules.update(dict.fromkeys(filter(None, sys.argv.pop(1).split(","))))
from sessionhistory_cli.__main__ import main
try:
    main()
finally:
    print([name for name in {_HEAVY} if sys.modules.get(name)])
"""


def _run(*arguments: str, missing: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _RUN, missing, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["servee"]])
def test_nothing_is_loaded_before_it_is_needed(arguments: list[str]) -> None:
    """A call that runs no command imports nothing of the server."""
    done = _run(*arguments, missing=",".join(_HEAVY))
    assert done.returncode == (2 if arguments == ["servee"] else 0), done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_command_is_loaded_when_it_is_called() -> None:
    """A command imports the modules that it uses, and no module that only other commands use."""
    assert _run("health", "--help").stdout.splitlines()[-1] == "['grpc']"
    assert "psycopg" in _run("migrate", "--help").stdout.splitlines()[-1]


def test_what_shows_metrics_is_not_loaded_to_serve() -> None:
    """The metrics' exposition is imported on the first request for it, because it takes 5% of the start."""
    program = "import sys, sessionhistory_cli.server.service as _; print('prometheus_client' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


def test_every_command_is_listed_as_it_describes_itself() -> None:
    """The list of commands is complete, and shows the first sentence of each command's help."""
    listed = CliRunner().invoke(cli, ["--help"]).output.partition("Commands:\n")[2]
    rows = dict(line.split(maxsplit=1) for line in listed.splitlines())
    assert list(rows) == list(cli.commands)
    for name, command in cli.commands.items():
        assert isinstance(command, LazyCommand)
        assert (command.load().help or "").startswith(rows[name])


@pytest.mark.parametrize(
    ("command", "package"),
    [
        *((_SERVE, package) for package in ("grpc_health", "prometheus_client", "psycopg")),
        *(([name, "--help"], "psycopg") for name in ("migrate", "check")),
        (["health", "--help"], "grpc_health"),
    ],
)
def test_what_is_missing_is_named_with_what_to_install(command: list[str], package: str) -> None:
    """A command that lacks a package says so in one line, and names the extra that brings it."""
    done = _run(*command, missing=package)
    assert done.returncode == 1
    assert re.fullmatch(
        rf"Error: {package}\S* is missing: install session-history\[server\].*\n", done.stderr
    )


def test_without_the_library_of_the_commands_the_extras_are_named() -> None:
    """The bare install has the command, which names the missing package and the extra."""
    done = _run("--help", missing="click")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("session-history: click is missing: install session-history[cli]")


def test_a_misspelt_flag_of_the_group_is_one_line_too() -> None:
    """A misspelt flag of the group prints one line without the usage, as a command's flag does."""
    result = CliRunner().invoke(cli, ["--versoin"])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: No such option")


def test_no_arguments_show_help() -> None:
    """The command without arguments prints its help."""
    assert "Commands:" in CliRunner().invoke(cli, []).output
