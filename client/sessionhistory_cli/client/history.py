"""The command that shows the history of a session, the window that a model gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click
from rich.text import Text

from sessionhistory import HistoryCut, SessionStatus
from sessionhistory_cli.client.blocks import Block, console, show_blocks
from sessionhistory_cli.client.formatting import ago, counted, timestamp, visible
from sessionhistory_cli.client.next_command import next_command
from sessionhistory_cli.client.options import (
    UNANSWERED_CALLS,
    full_option,
    session_argument,
    user_option,
)
from sessionhistory_cli.client.server_options import Server, server_options
from sessionhistory_cli.client.transcript import Transcript
from sessionhistory_cli.json_output import show_json
from sessionhistory_cli.shared_options import json_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from sessionhistory import History, Session

_WHY_CUT: Final = {
    HistoryCut.NONE: "",
    HistoryCut.MAX_MESSAGES: "the limit of messages is reached (--max-messages)",
    HistoryCut.TOKEN_BUDGET: "older ones do not fit the token budget (--token-budget)",
    HistoryCut.RESPONSE_SIZE: "more does not fit into one response",
    HistoryCut.MAX_TURNS: "the limit of turns is reached (--max-turns)",
    HistoryCut.UNKNOWN: "for a reason that this release does not know",
}
_INCOMPLETE: Final = (
    "tool results without their call, or messages that --unanswered-calls or --whole-responses leaves out"
)


@click.command()
@session_argument
@user_option
@click.option("--max-messages", type=click.IntRange(0), help="Maximum number of messages.")
@click.option("--token-budget", type=click.IntRange(0), help="Maximum number of tokens.")
@click.option(
    "--max-turns", type=click.IntRange(0), help="Maximum number of turns; only whole turns are shown."
)
@click.option(
    "--before", "before_sequence", type=click.IntRange(1), help="Only messages before this sequence."
)
@click.option("--no-pinned", is_flag=True, help="Leave out pinned messages.")
@click.option(
    "--step-tokens",
    type=click.IntRange(0),
    help="If the token budget cuts, begin at a multiple of this many tokens; 0: at the oldest that fits.",
)
@click.option(
    "--step-messages",
    type=click.IntRange(0),
    help="If the limit of messages cuts, begin at a sequence divisible by this; 0: at the oldest that fits.",
)
@click.option(
    "--unanswered-calls",
    type=click.Choice(UNANSWERED_CALLS),
    help="Whether to keep messages of which a tool call has no result in the window.",
)
@click.option(
    "--whole-responses/--no-whole-responses",
    default=None,
    help="Whether the window never begins inside a row of assistant messages.",
)
@full_option
@server_options(timeout_seconds=5)
@json_option
@click.pass_context
def history(
    context: click.Context,
    /,
    *,
    server: Server,
    session_id: str,
    no_pinned: bool,
    full: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - of the window, by name
) -> None:
    """Show the history of a session, the window that a model gets.

    Limits, steps and the options about calls and responses that you do not set are the session's own, else
    the server's. With a step, the output says how long the beginning of the window stays. `messages` shows
    all messages that are stored.

    On a terminal, long lines are broken, and long texts are shortened in the middle unless you pass --full.
    Into a pipe or a file goes the same text, whole and without colours, with times instead of "3 h ago".
    Control characters are escaped; --json has the exact text and all fields.
    """
    with server.client() as client:
        window = client.get_history(session_id, include_pinned=False if no_pinned else None, **options)
        session = client.get_session(session_id, user_id=options["user_id"])
    if as_json:
        show_json(session=session, history=window)
        return
    to = console()
    show_blocks(to, _about(session, ago if to.is_terminal else timestamp))
    show_blocks(to, _left_out(window, context))
    show_blocks(to, Transcript(full=full or not to.is_terminal).blocks(window))


def _about(session: Session, said_time: Callable[[datetime], str]) -> Iterator[Block]:
    yield Block(Text(visible(session.session_id), "bold cyan"))
    if session.title:
        yield Block(Text(visible(" ".join(session.title.split())), "bold"))
    details = {
        "user": session.user_id,
        "model": session.model,
        "status": "" if session.status is SessionStatus.ACTIVE else session.status,
        "labels": ", ".join(f"{key}={value}" for key, value in session.labels.items()),
        "last activity": said_time(session.last_activity_time),
    }
    said = (f"{name} {visible(value)}" for name, value in details.items() if value)
    yield Block(Text(" · ".join(said), "dim"))


def _left_out(window: History, context: click.Context) -> Iterator[Block]:
    """Yield the window's share of the session, the reasons for its beginning, and the command for more."""
    summary = window.summary
    shown = len(window.messages) - (summary is not None)
    left_out = window.omitted_message_count - (summary.message_count if summary else 0)
    count = shown + window.omitted_message_count
    summed_up = f", and a summary of {summary.message_count:,}" if summary else ""
    yield Block(
        Text(f"{shown:,} of {counted(count, 'message')}{summed_up}, {counted(window.total_tokens, 'token')}")
    )
    reasons = "; ".join(filter(None, _reasons(window, context))) or _INCOMPLETE
    if left_out:
        yield Block(Text(f"{left_out:,} left out: {reasons}"))
    if stay := _stay(window):
        yield Block(Text(f"the beginning {stay}"))
    if window.next_before_sequence is not None:
        before = ("--before", str(window.next_before_sequence))
        command = next_command(context, *before, without=("before_sequence",))
        yield Block(Text("the window before this one:"))
        yield Block(Text(command, "bold"), 2, wrapped=False)


def _reasons(window: History, context: click.Context) -> Iterator[str]:
    if context.params["before_sequence"] is not None:
        yield f"--before {context.params['before_sequence']}"
    if context.params["no_pinned"]:
        yield "--no-pinned"
    yield _WHY_CUT[window.cut]
    through = window.summary.through_sequence if window.summary else None
    run_is_empty = all(m.pinned or m.sequence == through for m in window.messages)
    if window.next_before_sequence is not None and run_is_empty:
        yield _INCOMPLETE


def _stay(window: History) -> str:
    """Return how long the window's beginning stays; empty if the window does not say so."""
    messages, tokens = window.messages_until_move, window.tokens_until_move
    if messages is None and tokens is None:
        return ""
    if 0 in (messages, tokens):
        return "moves with the next message"
    if messages is None or tokens is None:
        return f"stays for {_more(messages, 'message') or _more(tokens, 'token')}"
    return f"stays for {_more(messages, 'message')}, if they have at most {counted(tokens, 'token')}"


def _more(number: int | None, thing: str) -> str:
    return "" if number is None else counted(number, f"more {thing}")
