"""The result of a validator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A rule of an API that a request breaks. It quotes no text of the conversation."""

    rule: str
    """The name of the rule: lower case, words joined by hyphens."""
    path: str
    """The place in the request: ``messages[3].tool_calls[0].id``."""
    text: str
    """The fact, and the remedy."""
    source: str
    """The public page that states the rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of an API: its name, its text, and the public page that states it."""

    name: str
    text: str
    source: str

    def at(self, path: str) -> Violation:
        """Return the violation of the rule at a place of a request."""
        return Violation(rule=self.name, path=path, text=self.text, source=self.source)
