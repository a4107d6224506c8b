"""The machine and the versions of a run."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psycopg


def describe(database_url: str) -> dict[str, str]:
    """Return the machine, the versions and the date, by name."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
        "uvloop": version("uvloop"),
        "psycopg": version("psycopg"),
        "postgres": _postgres(database_url),
        "h2load": _h2load(),
        "session-history": version("session-history"),
    }


def _processor() -> str:
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def _postgres(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        return connection.info.parameter_status("server_version") or "unknown"


def _h2load() -> str:
    shown = subprocess.run(["h2load", "--version"], capture_output=True, text=True, check=True)  # noqa: S607
    return shown.stdout.split("/")[-1].strip()
