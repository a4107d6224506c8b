"""Count the outcomes of all lines of a file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from sessionhistory_cli.client.formatting import counted, visible
from sessionhistory_cli.client.importing.storing import Outcome, Result

if TYPE_CHECKING:
    from sessionhistory_cli.client.importing.importer import Line

_MAX_SKIPS: Final = 1_000
_MAX_NAMES: Final = 20
_MAX_NAME_CHARACTERS: Final = 80
_MORE_NAMES: Final = "(others)"


class ImportReport:
    """The counts of results, messages and unknown fields, and the reasons of up to 1,000 skipped lines."""

    def __init__(self) -> None:
        self._results: Counter[Result] = Counter()
        self._messages = 0
        self._unknown_fields: Counter[str] = Counter()
        self._skips: list[dict[str, Any]] = []

    @property
    def lines(self) -> int:
        """The number of counted lines."""
        return self._results.total()

    @property
    def skipped(self) -> int:
        """The number of skipped lines."""
        return self._results[Result.SKIPPED]

    def add(self, line: Line, outcome: Outcome) -> None:
        """Count a line."""
        self._results[outcome.result] += 1
        self._messages += outcome.stored_messages
        for path, count in outcome.unknown_fields.items():
            self._unknown_fields[self._name(path)] += count
        if outcome.result is Result.SKIPPED and len(self._skips) < _MAX_SKIPS:
            skip = {"line": line.number, "conversation_id": line.conversation_id, "reason": outcome.reason}
            self._skips.append(skip)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and reasons by name, for JSON."""
        return {
            **{result.value: self._results[result] for result in Result},
            "stored_messages": self._messages,
            "unknown_fields": dict(self._unknown_fields),
            "skips": self._skips,
        }

    def text(self) -> str:
        """Return the counts for people. The reasons were printed during the import."""
        said = (self._said(result) for result in Result if self._results[result])
        lines = [*said, f"{counted(self._messages, 'message')} stored"]
        if self._unknown_fields:
            named = (f"{name} ({count:,})" for name, count in self._unknown_fields.most_common())
            lines.append(f"not stored, because a session has no place for it: {', '.join(named)}")
        return "\n".join(lines)

    def _said(self, result: Result) -> str:
        thing = "line" if result is Result.SKIPPED else "conversation"
        return f"{counted(self._results[result], thing)} {result.replace('_', ' ')}"

    def _name(self, path: str) -> str:
        """Return the name under which a field is counted. The number and the length of names are limited."""
        name = visible(path)[:_MAX_NAME_CHARACTERS]
        new = name not in self._unknown_fields
        return _MORE_NAMES if new and len(self._unknown_fields) >= _MAX_NAMES else name
