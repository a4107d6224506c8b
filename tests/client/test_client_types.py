"""The verdict of a strict type checker on programs that use the client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAMS = Path(__file__).with_name("programs")


def test_a_type_checker_knows_right_from_wrong(tmp_path: Path) -> None:
    """The type checker accepts the right program, and objects exactly where the wrong one is marked."""
    programs = sorted(PROGRAMS.glob("*.py"))
    assert [program.name for program in programs] == ["right.py", "wrong.py"]
    # Outside the repository, whose settings do not apply to users.
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), *map(str, programs)]
    done = subprocess.run(mypy, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
