"""Fixtures of the tests of the embedded Postgres."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from embedded_support import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory that does not exist yet, below a folder that only this user can read."""
    return tmp_path / "data"


@pytest.fixture
def owner() -> Iterator[Callable[..., Owner]]:
    """Starts processes that serve a data directory; the fixture ends all of them."""
    owners: list[Owner] = []

    def start(data_dir: Path, *options: str) -> Owner:
        owners.append(Owner(data_dir, *options))
        return owners[-1]

    yield start
    for each in owners:
        each.clean()


@pytest.fixture
def public_dir() -> Iterator[Path]:
    """A folder that every user of the machine can read."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_root() -> None:
    """Skip a test of root's behaviour if another user runs the suite."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a server as another user")
