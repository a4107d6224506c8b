"""Look for secrets, and for parts of secrets, in texts that people and programs read."""

from __future__ import annotations

from pathlib import Path

PART_CHARACTERS = 12


def shown(secret: str, text: str) -> str:
    """Return a part of a secret that a text shows, of 12 characters; empty if it shows none."""
    parts = (secret[place : place + PART_CHARACTERS] for place in range(len(secret) - PART_CHARACTERS + 1))
    return next((part for part in parts if part in text), "")


def command_lines(pid: int) -> str:
    """Return the command lines of a process and of its descendants, as each user of the machine sees them."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return "\n".join((own, *map(command_lines, map(int, children))))
