"""Run the examples with the commands of their READMEs."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

from support.processes import environment
from support.readme import blocks
from support.tools import ROOT, search_path

_GENERATED = shutil.ignore_patterns(".next", "dist", "gen", "node_modules", "sessionhistory", "target")
_PATIENCE_SECONDS = 900
_VARIABLES = {
    # Compile less, which halves the time; do not reset colours at the end, because that is output too.
    "MAVEN_OPTS": "-XX:TieredStopAtLevel=1 -Djansi.noreset=true",
    # Dependencies are compiled once for all tests.
    "CARGO_TARGET_DIR": str(ROOT / ".cache" / "cargo"),
}


class Example:
    """A copy of an example with its protos, in a folder whose path has awkward characters.

    Args:
        name: Its folder in `examples`.
        folder: Where to copy it to.
        part: The folder in it whose README is used.
    """

    def __init__(self, name: str, folder: Path, part: str = ".") -> None:
        self.name = name
        whole = folder / "a clone" / "examples" / name
        shutil.copytree(ROOT / "examples" / name, whole, ignore=_GENERATED)
        shutil.copytree(ROOT / "protos", folder / "a clone" / "protos")
        self.folder = whole / part
        self.commands = [
            block.text for block in blocks((self.folder / "README.md").read_text()) if block.kind == "sh"
        ]

    async def run(self, commands: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run some commands of the README, like a shell that stops at the first error."""
        return await asyncio.to_thread(
            subprocess.run,
            ["sh", "-euc", commands],
            cwd=self.folder,
            env=environment(PATH=search_path(), **_VARIABLES, **_rustup_home(), **variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )


def _rustup_home() -> dict[str, str]:
    """Return RUSTUP_HOME by cargo's path, if cargo is one of rustup's and the variable is not set."""
    cargo = shutil.which("cargo", path=search_path())
    home = Path(cargo).parents[2] / ".rustup" if cargo else None
    if "RUSTUP_HOME" in os.environ or home is None or not home.is_dir():
        return {}
    return {"RUSTUP_HOME": str(home)}
