"""Fixtures of the tests of the pytest plugin."""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from plugin_support import Project, kill

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A user's project; the fixture ends all its processes."""
    temporary = Path(tempfile.mkdtemp())
    monkeypatch.setenv("TMPDIR", str(temporary))
    made = Project(pytester, temporary)
    yield made
    for pid in made.processes():
        kill(pid, signal.SIGKILL)
    shutil.rmtree(temporary, ignore_errors=True)
