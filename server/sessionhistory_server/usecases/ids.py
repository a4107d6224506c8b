"""Ids that the server makes."""

from __future__ import annotations

import random
import secrets


def new_id() -> str:
    """Return an id that no caller can guess, for a session or for a message: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def new_message_id() -> str:
    """Return an id for a message of an append: 32 hexadecimal digits.

    Such an id is no secret, so Python's generator makes it, which is faster than the system's randomness.
    Python seeds this generator anew in each worker process.
    """
    return f"{random.getrandbits(128):032x}"
