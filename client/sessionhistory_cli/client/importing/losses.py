"""Count the fields of a file that the import does not store, with the reasons."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple, TypeAlias

NO_PLACE: Final = "a session has no place for it"
OF_SERVER: Final = "the server sets it"


class Loss(NamedTuple):
    """A field that the import does not store."""

    path: str
    """The path of the field, without indices: ``messages[].usage.total_tokens``."""
    reason: str


Losses: TypeAlias = Counter[Loss]
"""The number of occurrences of each field that the import does not store."""
