"""Count the tokens of messages whose callers gave no count."""

from sessionhistory_server.tokens.characters import count, given_or_counted
from sessionhistory_server.tokens.counters import TokenCounters, TokenCounts
from sessionhistory_server.tokens.loading import load
from sessionhistory_server.tokens.plugin import TokenCounter, TokenCounterError, TokenCounterFactory

__all__ = [
    "TokenCounter",
    "TokenCounterError",
    "TokenCounterFactory",
    "TokenCounters",
    "TokenCounts",
    "count",
    "given_or_counted",
    "load",
]
