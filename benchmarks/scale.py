"""The sizes of a run: the amount of work and of data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The sizes of a run.

    ``rounds``: how often the sides of a row take turns, ``round_seconds`` each; ``long_session``: messages of
    the long session; ``many_sessions``: sessions of the user with many sessions; ``deep_page``: the page that
    is compared with the first one, of ``page_size`` items each; ``memory_before`` and ``memory_after``: RPCs
    before the first and the second measurement of a worker's memory; ``api_keys``: how many keys a worker
    holds; ``peers``: how many libraries to compare with; ``conversations``: how many conversations to store
    whole, the longest first.
    """

    rounds: int
    round_seconds: float
    long_session: int
    many_sessions: int
    deep_page: int
    page_size: int
    memory_before: int
    memory_after: int
    api_keys: int
    peers: int
    conversations: int

    @property
    def names(self) -> dict[str, str]:
        """The fields as texts, for titles."""
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
    api_keys=100_000,
    peers=3,
    conversations=1_000,
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
    api_keys=10_000,
    peers=1,
    conversations=12,
)
