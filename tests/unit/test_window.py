"""Building a window from the rows that fit: totals, and the end of the window before it."""

from __future__ import annotations

import pytest

from sessionhistory_server.model.message import Message, ToolCall
from sessionhistory_server.store.windows.read import WindowRows
from sessionhistory_server.usecases.windows import assemble
from support.messages import message_content


def rows(kinds: str, *, cut: str | None = None, first: int = 1, stored: int | None = None) -> WindowRows:
    """Return rows of plain messages (u), calls (c), results (t) and pinned ones (p), of ten tokens each."""
    messages = [
        Message(
            message_content(
                message_id=f"m{sequence}",
                role="TOOL" if kind == "t" else "USER",
                tool_calls=(ToolCall("", "f", ""),) if kind == "c" else None,
                pinned=kind == "p",
            ),
            sequence=sequence,
            token_count=10,
            create_time=0,
            size_bytes=100,
        )
        for sequence, kind in enumerate(kinds, start=first)
    ]
    return WindowRows(
        messages,
        cut,
        message_count=len(kinds) if stored is None else stored,
        last_sequence=first + len(kinds) - 1,
        omits_unanswered=False,
    )


@pytest.mark.parametrize(
    ("kinds", "kept"),
    [
        ("", ""),
        ("u", "u"),
        ("tut", "u"),
        ("cut", "cut"),
        ("upt", "up"),
        ("cptpt", "cptpt"),
        ("tptcpt", "pcpt"),
    ],
)
def test_results_without_their_call_are_left_out(kinds: str, kept: str) -> None:
    """A pinned message is no part of the run, and stays."""
    window = assemble(rows(kinds))
    shown = "".join(kinds[message.sequence - 1] for message in window.messages)
    assert shown == kept
    assert window.total_tokens == 10 * len(kept)
    assert window.omitted_message_count == len(kinds) - len(kept)


def test_the_totals_are_of_what_is_kept() -> None:
    """The totals count kept messages; dropped results count as omitted, like all messages not read."""
    window = assemble(rows("ttuu", first=97, stored=90, cut="MAX_MESSAGES"))
    assert [message.sequence for message in window.messages] == [99, 100]
    assert (window.total_tokens, window.omitted_message_count, window.last_sequence) == (20, 88, 100)


@pytest.mark.parametrize(
    ("kinds", "cut", "expected"),
    [
        ("uu", None, None),
        ("uu", "MAX_MESSAGES", 11),
        ("tu", "TOKEN_BUDGET", 12),
        ("tt", "RESPONSE_SIZE", 11),
        ("ptu", "MAX_MESSAGES", 13),
        ("pp", "MAX_MESSAGES", None),
        ("", "TOKEN_BUDGET", None),
        ("ptu", None, None),
    ],
)
def test_the_window_before_ends_where_the_shown_run_begins(
    kinds: str, cut: str | None, expected: int | None
) -> None:
    """The window before ends at the first message that is kept; if none is, where the run began.

    The field is absent if nothing cut the run, or if the run was empty.
    """
    window = assemble(rows(kinds, first=11, cut=cut, stored=50))
    assert window.next_before_sequence == expected
    assert window.cut == (cut or "NONE")
