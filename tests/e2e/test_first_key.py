"""The first key of an embedded database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.processes import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.processes import Server


@pytest.mark.parametrize("running", [True, False])
def test_the_embedded_database(start: Callable[..., Server], tmp_path: Path, *, running: bool) -> None:
    """With --data-dir, while a server runs on it and before one does."""
    data_dir = tmp_path / "data"
    arguments = ("keys", "create", "--scope", "admin", "--data-dir", data_dir)
    before = None if running else run(*arguments)
    server = start("--data-dir", data_dir, "--auth", "keys", "--workers", "1")
    server.wait_for("database: ready")
    made: Any = before or run(*arguments)
    assert made.returncode == 0, made.stderr
    variables = {"SESSION_HISTORY_SERVER": server.address(), "SESSION_HISTORY_API_KEY": made.stdout.strip()}
    listed = run("keys", "list", variables=variables)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.startswith(f"{made.stdout[4:20]}\t")
    assert made.stdout[21:].strip() not in server.log
