"""Show messages for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from sessionhistory import MessageStatus, Role
from sessionhistory_cli.client.blocks import Block
from sessionhistory_cli.client.call_pairs import CallPairs
from sessionhistory_cli.client.formatting import counted, timestamp, visible
from sessionhistory_cli.client.message_body import MessageBody

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory import History, HistorySummary, Message
    from sessionhistory_cli.client.call_pairs import LabelledCall

_STYLES: Final = {
    Role.SYSTEM: "bold magenta",
    Role.DEVELOPER: "bold magenta",
    Role.USER: "bold green",
    Role.ASSISTANT: "bold blue",
    Role.TOOL: "bold yellow",
}
_STEP: Final = 2
_MAX_ID_CHARACTERS: Final = 32
_EMPTY_LINE: Final = Block(Text())


class Transcript:
    """A converter of messages to blocks. The result of a tool names the call that it answers.

    Args:
        full: Do not shorten long texts.
    """

    def __init__(self, *, full: bool) -> None:
        self._full = full
        self._calls = CallPairs()

    def blocks(self, history: History) -> Iterator[Block]:
        """Yield the messages of a window, and between them the sequences that it leaves out."""
        summary = history.summary
        expected = summary.through_sequence + 1 if summary else 1
        # If nothing is left out, the messages of missing sequences were removed from the session.
        left_out = history.omitted_message_count - (summary.message_count if summary else 0)
        for message in history.messages:
            if left_out:
                yield from _gap(expected, message.sequence - 1)
            expected = max(expected, message.sequence + 1)
            covered = summary if summary and summary.through_sequence == message.sequence else None
            yield from self.message(message, covered)
        if left_out:
            yield from _gap(expected, history.last_sequence)

    def message(self, message: Message, covered: HistorySummary | None = None) -> Iterator[Block]:
        """Yield an empty line and the next message; a summary names the number of messages that it covers."""
        answered = self._calls.answer(message) if message.role is Role.TOOL else None
        self._calls.add(message)
        indent = _STEP if answered else 0
        yield _EMPTY_LINE
        yield Block(_heading(message, answered, covered), indent)
        yield from MessageBody(indent + _STEP, full=self._full).blocks(message)


def _heading(message: Message, answered: LabelledCall | None, covered: HistorySummary | None) -> Text:
    heading = Text.assemble(
        (f"{message.sequence:,}", "bold"), "  ", (message.role, _STYLES.get(message.role, "bold"))
    )
    if answered:
        heading.append(" ← ").append(answered.label, "cyan")
    elif message.tool_call_id:
        heading.append(" ← ").append(_shortened(visible(message.tool_call_id)), "dim")
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
        message.finish_reason and f"finish reason {visible(message.finish_reason)}",
        timestamp(message.send_time) or f"stored {timestamp(message.create_time)}",
    )
    return heading.append("  ").append(" · ".join(filter(None, details)), "dim")


def _shortened(call_id: str) -> str:
    return call_id if len(call_id) <= _MAX_ID_CHARACTERS else f"{call_id[: _MAX_ID_CHARACTERS - 1]}…"


def _gap(first: int, last: int) -> Iterator[Block]:
    if first <= last:
        yield _EMPTY_LINE
        missing = f"{first:,}" if first == last else f"{first:,} to {last:,}"
        yield Block(Text(f"⋮  {missing} not in this window", "dim"))
