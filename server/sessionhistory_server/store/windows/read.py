"""Read the rows of context windows: for each window at most one more row than it has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.model.window import WindowLimits, fit
from sessionhistory_server.store.columns.message import MESSAGE_COLUMNS, message_of
from sessionhistory_server.store.windows.statements import NEWEST, WHOLE, of_one_session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import LiteralString

    from sessionhistory_server.model.message import Message
    from sessionhistory_server.store.postgres.connection import Connection, Row
    from sessionhistory_server.store.session_ref import SessionRef

_FIELDS: Final = len(MESSAGE_COLUMNS)
_LIMITS: Final = WindowLimits._fields

NO_MODELS: Final = "{}"
"""No model has a budget or a step of its own."""


class Defaults(NamedTuple):
    """The limits of a window for which neither the request nor the session sets limits."""

    max_messages: int
    token_budget: int | None
    model_token_budgets: str
    """A JSON object with the token budget of each model, by its name."""
    step_tokens: int
    model_step_tokens: str
    """The same with the steps."""
    step_messages: int
    unanswered_calls: str
    """``KEEP`` or ``OMIT``."""
    whole_responses: bool

    @property
    def are_plain(self) -> bool:
        """Whether most windows have no steps, and may begin inside a response."""
        stepped = self.step_tokens or self.step_messages or self.model_step_tokens != NO_MODELS
        return not (stepped or self.whole_responses)


class WindowQuery(NamedTuple):
    """A window that a call requests, with at most ``max_bytes`` in the response."""

    ref: SessionRef
    limits: WindowLimits
    max_bytes: int


class StepFacts(NamedTuple):
    """What decides how long the beginning of a run stays where it is."""

    step_tokens: int
    """The step that is set; 0: none."""
    step_messages: int
    token_step: int
    """The step that applies: 1 without one, and at most half of what the budget leaves for the run."""
    message_step: int
    run_tokens: int
    """What the token budget leaves for the run; ``NO_BUDGET`` or about that: there is none."""
    run_messages: int
    total: int | None
    """The unpinned tokens through the newest message; ``None``: nothing cut the run."""
    covered_tokens: int
    """The unpinned tokens before the oldest message that the run may have."""


class WindowRows(NamedTuple):
    """The rows of a window: the messages that fit the limits, and facts about the session."""

    messages: list[Message]
    """The messages by ascending sequence, with the summary among them."""
    cut: str | None
    """The limit that cut the run of newest messages; ``None``: no limit."""
    message_count: int
    """The number of messages of the session."""
    last_sequence: int
    """The last sequence of the session."""
    omits_unanswered: bool
    """Whether messages with an unanswered call are left out."""
    summary_sequence: int | None = None
    """The sequence of the message that is the summary; ``None`` if there is none."""
    covered_count: int = 0
    """The number of messages that the summary covers."""
    covered_tokens: int = 0
    """The tokens of the covered messages."""
    begins_after_assistant: bool | None = None
    """Whether the message before the run is an ASSISTANT message; ``None`` unless responses are whole."""
    steps: StepFacts | None = None


async def read_windows(
    connection: Connection, asked: Sequence[WindowQuery], defaults: Defaults
) -> list[WindowRows | None]:
    """Read windows: the pinned messages and the newest others that fit; ``None`` if there is no session.

    One statement reads several windows, unless Citus has distributed the sessions.
    """
    windows: list[WindowRows | None] = [None] * len(asked)
    for places in _read_together(connection, len(asked)):
        if defaults.are_plain:
            plain = [place for place in places if _may_be_newest(asked[place].limits)]
            for place, rows in (await _read(connection, NEWEST, asked, plain, defaults)).items():
                windows[place] = _fitting(rows, asked[place].max_bytes)
        others = [place for place in places if windows[place] is None]
        for place, rows in (await _read(connection, WHOLE, asked, others, defaults)).items():
            windows[place] = _whole(rows)
    return windows


def _read_together(connection: Connection, count: int) -> list[list[int]]:
    """Return the indexes of windows in groups, each for one statement."""
    places = list(range(count))
    return [[place] for place in places] if connection.is_distributed else [places]


async def _read(
    connection: Connection,
    statement: LiteralString,
    asked: Sequence[WindowQuery],
    places: Sequence[int],
    defaults: Defaults,
) -> dict[int, list[Row]]:
    """Return the rows of the requested windows with some indexes, by these indexes, if there is a session."""
    found: dict[int, list[Row]] = {}
    if not places:
        return found
    parameters = _parameters(statement, asked, places, defaults)
    if connection.is_distributed:
        statement = of_one_session(statement)
    for row in await connection.fetch(statement, parameters):
        found.setdefault(row[-1], []).append(row)
    return found


def _fitting(rows: Sequence[Row], max_bytes: int) -> WindowRows:
    """Return the window in rows of ``NEWEST``."""
    message_count, last_sequence, omits_unanswered, max_messages, token_budget, _ = rows[0][_FIELDS:]
    messages, cut = fit(_messages(rows), max_messages, token_budget, max_bytes)
    return WindowRows(messages, cut, message_count, last_sequence, omits_unanswered)


def _whole(rows: Sequence[Row]) -> WindowRows:
    """Return the window in rows of ``WHOLE``."""
    window = WindowRows(_messages(rows), *rows[0][_FIELDS:-1])
    return window if window.steps is None else window._replace(steps=StepFacts(*json.loads(rows[0][-2])))


def _messages(rows: Iterable[Row]) -> list[Message]:
    """Return the messages of a window. A window without messages is one row of nulls."""
    return [message_of(row) for row in rows if row[0] is not None]


def _parameters(
    statement: LiteralString, asked: Sequence[WindowQuery], places: Sequence[int], defaults: Defaults
) -> dict[str, object]:
    parameters = {
        "session_key": asked[places[0]].ref.session_key,
        "asked": json.dumps([_record(place, asked[place]) for place in places]),
        "default_max_messages": defaults.max_messages,
        "default_token_budget": defaults.token_budget,
        "model_token_budgets": defaults.model_token_budgets,
        "default_unanswered_calls": defaults.unanswered_calls,
    }
    if statement is WHOLE:
        parameters |= {
            "default_step_tokens": defaults.step_tokens,
            "model_step_tokens": defaults.model_step_tokens,
            "default_step_messages": defaults.step_messages,
            "default_whole_responses": defaults.whole_responses,
        }
    return parameters


def _may_be_newest(limits: WindowLimits) -> bool:
    """Return whether ``NEWEST`` may find the window: the session may still have steps or a summary."""
    steps = limits.step_tokens or limits.step_messages or limits.whole_responses
    return not steps and limits.before_sequence is None and limits.max_turns is None


def _record(place: int, asked: WindowQuery) -> dict[str, object]:
    """Return the JSON record of a requested window. A missing limit is null there."""
    limits = {name: value for name, value in zip(_LIMITS, asked.limits, strict=True) if value is not None}
    return limits | {
        "place": place,
        "wanted": asked.ref.session_key,
        "owner": asked.ref.user_id,
        "bound_application_id": asked.ref.bound_application_id,
        "max_bytes": asked.max_bytes,
    }
