"""The page on guarantees has the recorded figures, and names existing tests."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

from figures import FIGURES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guarantees.md"


def test_the_table_shows_the_last_figures() -> None:
    """The table in docs/guarantees.md is the rendered docs/faults.json."""
    rendered = runpy.run_path(str(ROOT / "scripts" / "render_faults.py"))["rendered"]
    page = PAGE.read_text()
    assert rendered(page, json.loads(FIGURES.read_text())) == page


def test_the_tests_that_are_named_exist() -> None:
    """Each `tests/file.py` and `::function` that the page names exists."""
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE.read_text())
    assert named
    for path, function in named:
        assert f"def {function}" in (ROOT / path).read_text(), f"{path} has no {function}"
