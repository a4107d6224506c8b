"""Names of tools and speakers that APIs accept."""

from __future__ import annotations

import re
from typing import Final

MAX_NAME_LENGTH: Final = 64
_REFUSED: Final = re.compile(r"[^a-zA-Z0-9_-]")


def accepted_name(name: str) -> str:
    """Return a name that APIs accept: itself, or with an underscore for each character that they refuse."""
    return _REFUSED.sub("_", name)[:MAX_NAME_LENGTH] or "_"


def is_accepted_name(name: object) -> bool:
    """Return whether APIs accept a name."""
    return isinstance(name, str) and accepted_name(name) == name
