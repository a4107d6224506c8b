"""The tools that some tests run: from `make tools`, from the Postgres wheel, from the machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def search_path(*folders: Path) -> str:
    """Return the PATH, preceded by other folders and the tools of `make tools`."""
    ours = (ROOT / ".tools" / "bin", ROOT / ".tools" / "node_modules" / ".bin")
    return os.pathsep.join([*map(str, folders), *map(str, ours), os.environ["PATH"]])


def require(*commands: str, path: str) -> None:
    """Skip the test if a command is missing; fail it where SESSION_HISTORY_REQUIRE_TOOLS is set."""
    for command in commands:
        if not shutil.which(command, path=path):
            assert not os.environ.get("SESSION_HISTORY_REQUIRE_TOOLS"), f"{command} is not installed"
            pytest.skip(f"{command} is not installed")
