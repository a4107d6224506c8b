"""The columns of sessions: their conversion to parameters, and from rows.

``session_parameters`` converts every text of a session for a statement, and ``session_of`` or ``state_of``
reads it from a row.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, LiteralString

from sessionhistory_server.model.session import Session
from sessionhistory_server.model.titles import first_user_text
from sessionhistory_server.store.columns.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import timedelta

    from sessionhistory_server.model.message import NewMessage
    from sessionhistory_server.model.session import SessionContent
    from sessionhistory_server.store.postgres.connection import Row
    from sessionhistory_server.store.session_ref import SessionRef

# Older releases use these columns, so the columns keep other names than the model's fields.
_RENAMED: Final = {
    "last_activity_time": "active_time",
    "end_time": "complete_time",
    "parent_through_sequence": "parent_sequence",
}
COLUMN_NAMES: Final = tuple(_RENAMED.get(field, field) for field in Session._fields)
"""The columns of a session, in the order that ``session_of`` takes them."""

COLUMNS: Final = ", ".join(COLUMN_NAMES)

STATE_COLUMNS: Final = "state, state_version"
"""The columns that ``state_of`` takes."""

CONTENT: Final[Mapping[str, LiteralString]] = {
    "application_id": "%(application_id)s::text",
    "title": "%(title)s::text",
    "model": "%(model)s::text",
    "status": "%(status)s::text",
    "labels": "%(labels)s::jsonb",
    "metadata": "%(metadata)s::text",
    "state": "%(state)s::text",
    "history_max_messages": "%(history_max_messages)s::integer",
    "history_token_budget": "%(history_token_budget)s::integer",
    "history_step_tokens": "%(history_step_tokens)s::integer",
    "history_step_messages": "%(history_step_messages)s::integer",
    "history_unanswered_calls": "%(history_unanswered_calls)s::text",
    "history_whole_responses": "%(history_whole_responses)s::boolean",
}
"""The columns that a caller sets, and their parameters as ``session_parameters`` returns them."""

# At most one of the two is set, and least ignores the null. Citus allows no now() in a coalesce of an update.
EXPIRE_TIME: Final = "least(%(expire_time)s::timestamptz, now() + %(ttl)s::bigint * interval '1 microsecond')"
COMPLETE_TIME: Final = "case when %(status)s::text = 'ACTIVE' then null else now() end"

_NEW: Final[Mapping[str, LiteralString]] = {
    "session_key": "%(session_key)s::uuid",
    "tenant_id": "%(tenant_id)s::text",
    "session_id": "%(session_id)s::text",
    "user_id": "%(owner)s::text",
    **CONTENT,
    "message_count": "%(count)s::bigint",
    "total_tokens": "%(tokens)s::bigint",
    "last_sequence": "%(count)s::bigint",
    "unpinned_tokens": "%(unpinned_tokens)s::bigint",
    "unpinned_bytes": "%(unpinned_bytes)s::bigint",
    "pinned_count": "%(pinned_count)s::integer",
    "revision": "1",
    "create_time": "now()",
    "update_time": "now()",
    "active_time": "now()",
    "complete_time": COMPLETE_TIME,
    "expire_time": EXPIRE_TIME,
    "purge_time": f"{EXPIRE_TIME} + %(retention)s::interval",
    "token_counter": "%(token_counter)s::text",
}

INSERT_NEW_SESSION: Final = f"""
insert into sessions ({", ".join(_NEW)})
values ({", ".join(_NEW.values())})
"""
"""SQL that inserts the session of ``new_session_parameters``. If its key is taken, that is an error."""

INSERT_SESSION: Final = f"{INSERT_NEW_SESSION} on conflict (session_key) do nothing"
"""The same, but if its key is taken, nothing is inserted."""


# The fields whose parameters have another form than in the model.
_ENCODERS: Final[dict[str, Callable[[Any], Any]]] = {"labels": json.dumps, "expire_time": timestamp}


def session_parameters(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a statement for fields of ``SessionContent``, under their names."""
    return {
        name: _ENCODERS[name](value) if value is not None and name in _ENCODERS else value
        for name, value in fields.items()
    }


def new_session_parameters(
    tenant_id: str, ref: SessionRef, content: SessionContent, token_counter: str, retention: timedelta
) -> dict[str, Any]:
    """Return the parameters of ``INSERT_SESSION`` for a session without messages."""
    return session_parameters(content._replace(labels=content.labels or {})._asdict()) | {
        "session_key": ref.session_key,
        "tenant_id": tenant_id,
        "session_id": ref.session_id,
        "owner": ref.user_id,
        "retention": retention,
        "token_counter": token_counter,
        "count": 0,
        "tokens": 0,
        "unpinned_tokens": 0,
        "unpinned_bytes": 0,
        "pinned_count": 0,
    }


def title_parameter(messages: Iterable[NewMessage]) -> str | None:
    """Return the title that a session without a title gets from messages, as a parameter."""
    text = first_user_text(message.content for message in messages)
    title: str | None = session_parameters({"title": text})["title"]
    return title


def session_of(row: Row) -> Session:
    """Return the session in a row of ``COLUMNS``."""
    return Session._make(row)


def state_of(row: Row) -> tuple[str | None, int]:
    """Return the state in a row of ``STATE_COLUMNS``, and its version."""
    text, version = row
    return text, version
