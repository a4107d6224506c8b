"""The rows of context windows, reading no more of them than they hold plus one each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.model import WindowLimits
from sessionhistory_server.store import rows
from sessionhistory_server.store.window_statements import PLAIN, WHOLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import LiteralString

    from sessionhistory_server.model import Message
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.sessions import SessionRef

_FIELDS: Final = len(rows.FIELDS)
_LIMITS: Final = WindowLimits._fields


class Defaults(NamedTuple):
    """The limits where neither the request nor the session names one.

    ``model_token_budgets``: a JSON object, tokens by model.
    """

    max_messages: int
    token_budget: int | None
    model_token_budgets: str | None


class Asked(NamedTuple):
    """A window that a caller asks for; with all that is in it the response may have ``max_bytes``."""

    ref: SessionRef
    limits: WindowLimits
    max_bytes: int


class WindowRows(NamedTuple):
    """The messages that fit the limits, by ascending sequence, and what ended the run of newest ones.

    ``summary`` is the sequence of the one among them that is a summary, ``None`` if there is none; then how
    many messages it covers, and their tokens.
    """

    messages: list[Message]
    cut: str | None
    message_count: int
    last_sequence: int
    summary: int | None = None
    covered_count: int = 0
    covered_tokens: int = 0


async def read(connection: Connection, asked: Sequence[Asked], defaults: Defaults) -> list[WindowRows | None]:
    """Read windows: the pinned messages and the run of newest others that fit; ``None``: no such session."""
    windows: list[WindowRows | None] = [None] * len(asked)
    plain = [place for place, one in enumerate(asked) if one.limits.max_turns is None]
    await _read(connection, PLAIN, asked, plain, defaults, windows)
    others = [place for place, window in enumerate(windows) if window is None]
    await _read(connection, WHOLE, asked, others, defaults, windows)
    return windows


async def _read(
    connection: Connection,
    statement: LiteralString,
    asked: Sequence[Asked],
    places: Sequence[int],
    defaults: Defaults,
    windows: list[WindowRows | None],
) -> None:
    """Read the windows at some places of all that are asked, into the same places."""
    if not places:
        return
    parameters = {
        "asked": json.dumps([_record(place, asked[place]) for place in places]),
        "default_max_messages": defaults.max_messages,
        "default_token_budget": defaults.token_budget,
        "model_token_budgets": defaults.model_token_budgets,
    }
    for row in await connection.fetch(statement, parameters):
        place = row[-1]
        window = windows[place]
        if window is None:
            window = windows[place] = WindowRows([], *row[_FIELDS:-1])
        if row[0] is not None:  # a window without messages is one row of nulls
            window.messages.append(rows.message_of(row))


def _record(place: int, asked: Asked) -> dict[str, object]:
    """Return what is asked; a limit that is not there is null in the record of JSON."""
    limits = {name: value for name, value in zip(_LIMITS, asked.limits, strict=True) if value is not None}
    return limits | {
        "place": place,
        "wanted": asked.ref.session_key,
        "owner": asked.ref.user_id,
        "max_bytes": asked.max_bytes,
    }
