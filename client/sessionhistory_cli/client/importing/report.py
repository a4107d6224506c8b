"""Count the outcomes of all lines of a file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from sessionhistory_cli.client.formatting import counted, visible
from sessionhistory_cli.client.importing.storing import Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_cli.client.importing.conversation_reader import Found
    from sessionhistory_cli.client.importing.losses import Loss, Losses

_MAX_SKIPS: Final = 1_000
_MAX_NAMES: Final = 20
_MAX_NAME_CHARACTERS: Final = 80
_MORE_NAMES: Final = "(others)"


class ImportReport:
    """The counts of results, messages and lost fields, and the reasons of up to 1,000 skipped lines."""

    def __init__(self) -> None:
        self._results: Counter[Result] = Counter()
        self._newest = Result.SKIPPED
        self._messages = 0
        self._losses: Losses = Counter()
        self._thing = "line"
        self._skips: list[dict[str, Any]] = []

    @property
    def conversations(self) -> int:
        """The number of counted conversations, and of values that are none."""
        return self._results.total()

    @property
    def skipped(self) -> int:
        """The number of skipped conversations, and of values that are none."""
        return self._results[Result.SKIPPED]

    def add(self, found: Found, outcome: Outcome) -> None:
        """Count a conversation, or a further part of the one before."""
        self._messages += outcome.stored_messages
        for loss, count in outcome.losses.items():
            self._losses[self._named(loss)] += count
        self._thing = found.place.thing
        result = self._of_all_parts(outcome.result) if found.is_further_part else outcome.result
        if outcome.result is Result.SKIPPED and not (
            found.is_further_part and self._newest is Result.SKIPPED
        ):
            self._add_skip(found, outcome.reason)
        self._results[result] += 1
        self._newest = result

    def _of_all_parts(self, result: Result) -> Result:
        """Return the result of a conversation after one more part, and count it no longer."""
        self._results[self._newest] -= 1
        grown = self._newest is Result.ALREADY_THERE and result is Result.COMPLETED
        return result if grown or result is Result.SKIPPED else self._newest

    def _add_skip(self, found: Found, reason: str) -> None:
        if len(self._skips) < _MAX_SKIPS:
            place = {found.place.thing: found.place.number}
            self._skips.append({**place, "conversation_id": found.conversation_id, "reason": reason})

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and reasons by name, for JSON."""
        return {
            **{result.value: self._results[result] for result in Result},
            "stored_messages": self._messages,
            "not_stored": {reason: dict(counts) for reason, counts in self._by_reason()},
            "skips": self._skips,
        }

    def text(self) -> str:
        """Return the counts for people. The reasons were printed during the import."""
        said = (self._said(result) for result in Result if self._results[result])
        lines = [*said, f"{counted(self._messages, 'message')} stored"]
        for reason, counts in self._by_reason():
            named = (f"{path} ({count:,})" for path, count in counts)
            lines.append(f"not stored, because {reason}: {', '.join(named)}")
        return "\n".join(lines)

    def _said(self, result: Result) -> str:
        thing = self._thing if result is Result.SKIPPED else "conversation"
        return f"{counted(self._results[result], thing)} {result.replace('_', ' ')}"

    def _by_reason(self) -> Iterator[tuple[str, list[tuple[str, int]]]]:
        """Yield each reason with the fields that are not stored for it, the most frequent first."""
        for reason in dict.fromkeys(loss.reason for loss in self._losses):
            counts = Counter({loss.path: n for loss, n in self._losses.items() if loss.reason == reason})
            yield reason, counts.most_common()

    def _named(self, loss: Loss) -> Loss:
        """Return the name under which a field is counted. The number and the length of names are limited."""
        named = loss._replace(path=visible(loss.path)[:_MAX_NAME_CHARACTERS])
        if named in self._losses or sum(other.reason == loss.reason for other in self._losses) < _MAX_NAMES:
            return named
        return loss._replace(path=_MORE_NAMES)
