"""The figures of the long form, in docs/faults.json, with the measured machine and versions."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from sessionhistory_server.embedded import wheel

FIGURES = Path(__file__).parents[2] / "docs" / "faults.json"


def keep(scenario: str, test: str, figures: dict[str, Any]) -> None:
    """Replace a scenario's figures."""
    known = json.loads(FIGURES.read_text())
    known[scenario] = {"test": test, "measured": _measured(), "figures": figures}
    FIGURES.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")


def _measured() -> dict[str, str]:
    """Return the date, the versions and the machine."""
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    size = f"{os.cpu_count()} cores, {memory_bytes >> 30} GiB"
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "grpcio": metadata.version("grpcio"),
        "postgres": _postgres_version(),
        "machine": f"{platform.system()} {platform.machine()}, {size}",
    }


def _postgres_version() -> str:
    command = [wheel.binaries() / "postgres", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    return said.split()[-1]
