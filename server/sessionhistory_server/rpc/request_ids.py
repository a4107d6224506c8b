"""The ids of calls in logs and errors: the caller's own, or else one that the server makes."""

from __future__ import annotations

import random
import re
from typing import Final

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:@/-]{1,128}")


def is_request_id(text: str) -> bool:
    """Return whether a caller's text may be the id of a call."""
    return _REQUEST_ID.fullmatch(text) is not None


def new_request_id() -> str:
    """Return an id for a call whose caller gave none, or no valid one."""
    return f"{random.getrandbits(64):016x}"
