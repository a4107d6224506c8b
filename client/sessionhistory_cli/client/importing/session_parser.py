"""Parse the fields of sessions, in the format of the import or of the contract."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sessionhistory.types import HistorySettings, SessionFields, SessionStatus, UnansweredCalls
from sessionhistory_cli.client.importing.field_values import json_object, member, time
from sessionhistory_cli.client.importing.losses import OF_SERVER

if TYPE_CHECKING:
    from sessionhistory_cli.client.importing.json_fields import JsonFields

_PAST: Final = "the time has passed"
_OF_SERVER: Final = (
    "message_count",
    "total_tokens",
    "last_sequence",
    "create_time",
    "update_time",
    "last_activity_time",
    "end_time",
    "delete_time",
    "purge_time",
    "etag",
    "token_counter",
    "state_version",
    "parent",
    "compacted_through_sequence",
)


def parse_session(fields: JsonFields) -> SessionFields:
    """Return the fields of the session of a JSON object.

    Raises:
        BadFieldError: a field is wrong.
    """
    fields.lose(OF_SERVER, *_OF_SERVER)
    source = fields.optional("source", str)
    return SessionFields(
        application_id=fields.optional("application_id", str) or "",
        title=fields.optional("title", str) or "",
        model=fields.optional("model", str) or "",
        status=member(fields, "status", SessionStatus, prefix="SESSION_STATUS_") or SessionStatus.ACTIVE,
        labels=_labels(fields) | ({"source": source} if source else {}),
        metadata=json_object(fields, "metadata"),
        state=json_object(fields, "state"),
        history_settings=_settings(fields.object("history_settings")),
        expire_time=_expire_time(fields),
    )


def _labels(fields: JsonFields) -> dict[str, str]:
    found = fields.object("labels")
    return {} if found is None else {name: found.required(name, str) for name in found.names()}


def _settings(fields: JsonFields | None) -> HistorySettings | None:
    if fields is None:
        return None
    return HistorySettings(
        max_messages=fields.optional("max_messages", int),
        token_budget=fields.optional("token_budget", int),
        step_tokens=fields.optional("step_tokens", int),
        step_messages=fields.optional("step_messages", int),
        unanswered_calls=member(fields, "unanswered_calls", UnansweredCalls, prefix="UNANSWERED_CALLS_"),
        whole_responses=fields.optional("whole_responses", bool),
    )


def _expire_time(fields: JsonFields) -> datetime | None:
    found = time(fields, "expire_time")
    if found is None or found > datetime.now(UTC):
        return found
    fields.count("expire_time", _PAST)
    return None
