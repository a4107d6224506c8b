"""The paths that the documents name exist."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import pytest

from support.tools import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_DOCUMENTS = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs" / "adr").glob("*.md")),
    ROOT / "docs" / "guarantees.md",
    ROOT / "docs" / "operations.md",
    ROOT / "docs" / "testing.md",
    ROOT / "docs" / "writing.md",
]
_FOLDERS = (
    "client",
    "server",
    "migrations",
    "tests",
    "benchmarks",
    "docs",
    "protos",
    "scripts",
    "examples",
    ".ci",
)

# In backquotes: a file with a known ending, perhaps in folders; or folders that end with a slash.
_PATH = re.compile(
    r"`(?P<path>(?:[\w.-]+/)*[\w.-]+\.(?:py|md|proto|toml|json|binpb|yaml)|(?:[\w.-]+/)+)(?:::\w+)?`"
)

# Files of a user or of another project.
_ELSEWHERE = {"conftest.py", "compose.yaml", "pyproject.toml", "buf/validate/validate.proto"}


@cache
def _existing() -> frozenset[str]:
    """Return the paths of all files and folders, and every end of them; those of folders end with a slash."""
    found = set()
    for top in (ROOT / name for name in _FOLDERS):
        for path in (top, *top.rglob("*")):
            parts = path.relative_to(ROOT).parts
            ending = "/" if path.is_dir() else ""
            found |= {"/".join(parts[start:]) + ending for start in range(len(parts))}
    return frozenset(found | {path.name + ("/" if path.is_dir() else "") for path in ROOT.iterdir()})


@pytest.mark.parametrize("document", _DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_paths_exist(document: Path) -> None:
    """Each path in backquotes is a file or folder of the project, or the end of the path of one."""
    named = {found["path"] for found in _PATH.finditer(document.read_text())} - _ELSEWHERE
    assert sorted(named - _existing()) == []
