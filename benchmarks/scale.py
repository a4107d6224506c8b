"""How much is measured, and on how much data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Sizes of a run.

    ``long_session``: messages of the long session; ``many_sessions``: sessions of the one user with many;
    ``deep_page``: which page is compared with the first, ``page_size`` things each; ``memory_before`` and
    ``memory_after``: RPCs until the worker's memory is taken; ``peers``: how many libraries to compare with.
    """

    rounds: int
    round_seconds: float
    long_session: int
    many_sessions: int
    deep_page: int
    page_size: int
    memory_before: int
    memory_after: int
    peers: int

    @property
    def names(self) -> dict[str, str]:
        """The fields as text, for titles."""
        return {name: f"{value:,}" for name, value in asdict(self).items()}


FULL: Final = Scale(
    rounds=5,
    round_seconds=1.5,
    long_session=1_000_000,
    many_sessions=100_000,
    deep_page=1_000,
    page_size=50,
    memory_before=10_000,
    memory_after=100_000,
    peers=3,
)

LONG: Final = replace(FULL, memory_after=1_000_000)

QUICK: Final = replace(
    FULL,
    rounds=3,
    round_seconds=0.3,
    long_session=50_000,
    many_sessions=10_000,
    page_size=10,
    memory_before=1_000,
    memory_after=3_000,
    peers=1,
)
