"""Counting the tokens of messages, where their callers did not."""

from sessionhistory_server.tokens.characters import count
from sessionhistory_server.tokens.counters import Counted, TokenCounters
from sessionhistory_server.tokens.loading import load
from sessionhistory_server.tokens.plugin import TokenCounter, TokenCounterError, TokenCounterFactory

__all__ = [
    "Counted",
    "TokenCounter",
    "TokenCounterError",
    "TokenCounterFactory",
    "TokenCounters",
    "count",
    "load",
]
