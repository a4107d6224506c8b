"""The key of a session, which every other key begins with, and the number that stands for a user."""

from __future__ import annotations

import hashlib
from functools import lru_cache


@lru_cache(maxsize=16_384)
def session_key(tenant_id: str, session_id: str) -> str:
    """Return the key of a session, as the text of a uuid: 16 bytes of SHA-256 over tenant and id.

    Rows of another tenant cannot be addressed, and every key has 16 bytes however long the id.
    """
    digest = hashlib.sha256(tenant_id.encode() + b"\0" + session_id.encode())
    return digest.hexdigest()[:32]


def user_lock(tenant_id: str, user_id: str) -> int:
    """Return the number by which a user is locked: 64 bits of SHA-256, signed."""
    digest = hashlib.sha256(tenant_id.encode() + b"\0" + user_id.encode())
    return int.from_bytes(digest.digest()[:8], signed=True)
