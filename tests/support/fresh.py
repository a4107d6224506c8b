"""Ids that no other test uses."""

from __future__ import annotations

import secrets


def fresh_id() -> str:
    """Return an id that no other test uses: 32 hexadecimal digits, as those that the server makes."""
    return secrets.token_hex(16)
