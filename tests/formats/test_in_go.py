"""The Go module makes the same conversions as Python."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from generated_cases import write_generated_cases, write_rules

from support.processes import environment
from support.readme import blocks
from support.tools import ROOT, require, search_path

if TYPE_CHECKING:
    from pathlib import Path

_GENERATED = shutil.ignore_patterns("*.pb.go")
_PATIENCE_SECONDS = 600
_CASES = "tests/formats/cases"
_FOLDERS = ("client-go", "protos", _CASES)
_FORMATS = ("anthropic", "gemini", "openai_chat")


def test_the_cases_in_go(tmp_path: Path) -> None:
    """The commands of the README check the module, and run the shared cases and generated ones."""
    require("go", "gofmt", "buf", path=search_path())
    clone = tmp_path / "a clone"
    for folder in _FOLDERS:
        shutil.copytree(ROOT / folder, clone / folder, ignore=_GENERATED)
    for name in _FORMATS:
        write_generated_cases(name, clone / _CASES / name)
        write_rules(name, clone / _CASES / name)
    assert _run(clone / "client-go", "gofmt -l .") == ""
    readme = (clone / "client-go" / "README.md").read_text()
    (commands,) = (block.text for block in blocks(readme) if block.kind == "sh")
    _run(clone / "client-go", commands)


def _run(folder: Path, commands: str) -> str:
    """Run commands like a shell that stops at the first error, and return what they print."""
    done = subprocess.run(
        ["sh", "-euc", commands],
        cwd=folder,
        env=environment(PATH=search_path()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
