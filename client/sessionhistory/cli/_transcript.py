"""Messages as a person reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rich.text import Text

from sessionhistory import MessageStatus, Role
from sessionhistory.cli._body import Body, call_labels
from sessionhistory.cli._output import Block
from sessionhistory.cli._text import counted, timestamp, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory import History, HistorySummary, Message

_STYLES: Final = {
    Role.SYSTEM: "bold magenta",
    Role.DEVELOPER: "bold magenta",
    Role.USER: "bold green",
    Role.ASSISTANT: "bold blue",
    Role.TOOL: "bold yellow",
}
_STEP: Final = 2
_EMPTY_LINE: Final = Block(Text())


class _Call(NamedTuple):
    label: str
    name: str
    id: str


class Transcript:
    """Makes blocks of the messages of a window: each with what it holds, a result with the call it answers.

    Args:
        full: Do not shorten long texts.
    """

    def __init__(self, *, full: bool) -> None:
        self._full = full
        self._open_calls: list[_Call] = []

    def blocks(self, history: History) -> Iterator[Block]:
        """Yield the messages, and between them which sequences the window neither has nor sums up."""
        summary = history.summary
        expected = summary.through_sequence + 1 if summary else 1
        # Where nothing is left out, what has other sequences was removed.
        left_out = history.omitted_message_count - (summary.message_count if summary else 0)
        for message in history.messages:
            if left_out:
                yield from _gap(expected, message.sequence - 1)
            expected = max(expected, message.sequence + 1)
            covered = summary if summary and summary.through_sequence == message.sequence else None
            yield from self._message(message, covered)
        if left_out:
            yield from _gap(expected, history.last_sequence)

    def _message(self, message: Message, covered: HistorySummary | None) -> Iterator[Block]:
        answered = self._answered(message) if message.role is Role.TOOL else None
        if message.role is not Role.TOOL:
            self._open_calls = [
                _Call(label, call.name, call.id)
                for label, call in zip(call_labels(message), message.tool_calls, strict=True)
            ]
        indent = _STEP if answered else 0
        yield _EMPTY_LINE
        yield Block(_heading(message, answered, covered), indent)
        yield from Body(indent + _STEP, full=self._full).blocks(message)

    def _answered(self, result: Message) -> _Call | None:
        """Return the call that a result answers: the next that has its id, else the next."""
        same_id = [call for call in self._open_calls if call.id == result.tool_call_id]
        call = next(iter(same_id or self._open_calls), None)
        if call:
            self._open_calls.remove(call)
        return call


def _heading(message: Message, answered: _Call | None, covered: HistorySummary | None) -> Text:
    heading = Text.assemble(
        (f"{message.sequence:,}", "bold"), "  ", (message.role, _STYLES.get(message.role, "bold"))
    )
    if answered:
        heading.append(" ← ").append(answered.label, "cyan")
    if message.status is MessageStatus.INTERRUPTED:
        heading.append("  INTERRUPTED", "bold red")
    if message.pinned:
        heading.append("  pinned", "bold")
    if covered:
        stood_for = f"{counted(covered.message_count, 'message')}, {counted(covered.total_tokens, 'token')}"
        heading.append(f"  summary of {stood_for}", "bold")
    details = (
        "" if answered and message.name == answered.name else visible(message.name),
        visible(message.model),
        "" if message.token_count is None else counted(message.token_count, "token"),
        timestamp(message.send_time) or f"stored {timestamp(message.create_time)}",
    )
    return heading.append("  ").append(" · ".join(filter(None, details)), "dim")


def _gap(first: int, last: int) -> Iterator[Block]:
    if first <= last:
        yield _EMPTY_LINE
        missing = f"{first:,}" if first == last else f"{first:,} to {last:,}"
        yield Block(Text(f"⋮  {missing} not in this window", "dim"))
