"""The worker processes of a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from support.processes import Server


def pids_of(server: Server) -> list[int]:
    """Return the processes that a server has forked: on a given database, its workers."""
    pid = server.process.pid
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def deaths_of(server: Server) -> list[dict[str, Any]]:
    """Return the log events about workers that died."""
    return [event for event in server.events if " died" in event["event"]]


def is_running(pid: int) -> bool:
    """Return whether a process exists."""
    return Path(f"/proc/{pid}").exists()
