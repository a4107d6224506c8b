"""The TypeScript package of the formats makes the same conversions as Python."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from generated_cases import write_generated_cases, write_rules

from support.processes import environment
from support.readme import blocks
from support.tools import ROOT, require, search_path

if TYPE_CHECKING:
    from pathlib import Path

_GENERATED = shutil.ignore_patterns("dist", "gen", "node_modules")
_PATIENCE_SECONDS = 300
_CASES = "tests/formats/cases"
_FOLDERS = ("client-ts", "protos", _CASES)
_FORMATS = ("anthropic", "gemini", "openai_chat", "openai_responses")
# JavaScript rounds integers above 2^53.
_LARGE_INTEGERS = re.compile(r"\d{16}")


def test_the_cases_in_typescript(tmp_path: Path) -> None:
    """The commands of the README compile the package and run the shared cases, and generated ones."""
    require("node", "npm", path=search_path())
    clone = tmp_path / "a clone"
    for folder in _FOLDERS:
        shutil.copytree(ROOT / folder, clone / folder, ignore=_GENERATED)
    for name in _FORMATS:
        write_generated_cases(name, clone / _CASES / name, without=_LARGE_INTEGERS)
        write_rules(name, clone / _CASES / name)
    readme = (clone / "client-ts" / "README.md").read_text()
    (commands,) = (block.text for block in blocks(readme) if block.kind == "sh")
    done = subprocess.run(
        ["sh", "-euc", commands],
        cwd=clone / "client-ts",
        env=environment(PATH=search_path()),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
