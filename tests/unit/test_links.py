"""The links of the documents have targets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.tools import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "benchmarks" / "NOTES.md",
    *sorted((ROOT / "examples").glob("*/README.md")),
    ROOT / "client-go" / "README.md",
    ROOT / "client-ts" / "README.md",
]
_LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")


def _anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", _DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links(document: Path) -> None:
    """Each relative link names a file or folder that exists, and a heading that the file has."""
    for link in _LINK.finditer(document.read_text()):
        target = (document.parent / link["path"]) if link["path"] else document
        assert target.exists(), link[0]
        assert not link["anchor"] or link["anchor"] in _anchors(target), link[0]
