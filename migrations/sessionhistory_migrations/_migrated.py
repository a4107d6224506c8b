"""The outcome of a migration."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Migrated(NamedTuple):
    """The outcome of a migration."""

    before: str | None
    """The revision before it; ``None`` if the database was empty."""
    after: str | None
    """The revision after it."""
    rebuilt: Sequence[str] = ()
    """The indexes that were invalid, and that it has built again."""
    distributed: Sequence[str] = ()
    """The tables that it has distributed."""
    is_distributed: bool = False
    """Whether the tables are distributed after it."""
