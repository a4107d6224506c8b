"""The fields of requests, from the contract: those that name a stored thing, and those that do not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.descriptor import FieldDescriptor

from sessionhistory_server.rpc.server import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, MethodDescriptor

SESSION, MESSAGE, PLACE, PAGE, KEY, TOKEN = "session", "message", "place", "page", "key", "token"

_NOUNS = {
    SESSION: r"(\w+_)?session_id",
    MESSAGE: r"(\w+_)?message_id",
    PLACE: r"(?!expected_)(\w+_)?sequence",
    PAGE: r"(\w+_)?page_token",
    KEY: r"(\w+_)?api_key_id",
    TOKEN: r"(\w+_)?token_id",
}

_TEXT = "text or bytes that the server stores or searches, and compares with no id"
_NUMBER = "a limit or a count"
_EXPECTED = "compared with the session or the key that the same request names"

# By reason: each other field that is no boolean, enum, time or mask.
NAMES_NOTHING: dict[str, tuple[str, ...]] = {
    "the user that the call acts for: the tests below call as another one": (
        "*.user_id",
        "ForkSessionRequest.new_user_id",
        "ResetSessionRequest.new_user_id",
    ),
    "the application of a new session, or a filter of lists": ("*.application_id",),
    _EXPECTED: (
        "*.expected_last_sequence",
        "*.expected_state_version",
        "CompactHistoryRequest.expected_compacted_through_sequence",
        "UpdateSessionRequest.etag",
    ),
    _TEXT: (
        "ApiKeyFields.display_name",
        "AppendMessageStreamDelta.text",
        *(f"AppendMessageStreamFinish.{name}" for name in ("finish_reason", "metadata", "payload")),
        "AppendMessageStreamFinish.payload_type",
        *(f"Media.{name}" for name in ("data", "mime_type", "uri")),
        *(f"Message.{name}" for name in ("content", "finish_reason", "metadata", "model", "name")),
        *(f"Message.{name}" for name in ("payload", "payload_type", "provider", "turn_id")),
        "Part.json",
        "Part.text",
        *(f"Reasoning.{name}" for name in ("opaque", "signature", "text")),
        *(f"SessionFields.{name}" for name in ("metadata", "model", "state", "title")),
        *(
            f"{owner}.LabelsEntry.{name}"
            for owner in ("SessionFields", "ListSessionsRequest")
            for name in ("key", "value")
        ),
        "ListSessionsRequest.title_contains",
        "UpdateStateRequest.patch",
        "*.state_patch",
    ),
    "pairs calls of tools with their results, within a message or a stream, and is stored as it is": (
        "Message.tool_call_id",
        *(f"ToolCall.{name}" for name in ("id", "name", "arguments")),
        *(f"ToolCallDelta.{name}" for name in ("id", "index", "name", "arguments")),
    ),
    "set by the server, and ignored in a request": ("Message.sequence",),
    "the caller's own name of a call, which only the outcome of the call and its log lines repeat": (
        "StreamedCall.number",
        "StreamedCall.request_id",
    ),
    _NUMBER: (
        "*.page_size",
        "*.token_count",
        "*.max_messages",
        "*.max_turns",
        "*.step_messages",
        "*.step_tokens",
        "*.token_budget",
        *(f"Usage.{name}_tokens" for name in ("input", "output", "cache_read", "cache_write")),
    ),
}

CREATING = {
    "CreateSession": "session_id",
    "EnsureActiveSession": "new_session_id",
    "ForkSession": "new_session_id",
    "ResetSession": "new_session_id",
}
"""The fields with the id of a session to create: the one exception, within a tenant."""

_IRRELEVANT = (FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_ENUM)
_PACKAGE = "sessionhistory.v1."


class NamedField(NamedTuple):
    """A field that names a thing: its RPC, its path from the request, and the kind of thing."""

    method: MethodDescriptor
    path: tuple[str, ...]
    noun: str

    def __str__(self) -> str:
        return f"{self.method.name}.{'.'.join(self.path)}"

    @property
    def creates(self) -> bool:
        """Whether the field has the id of a session to create."""
        return CREATING.get(self.method.name) == self.path[-1]


def methods() -> list[MethodDescriptor]:
    """Return all RPCs of the project."""
    return [method for service in SERVICES for method in service.methods]


def named_fields() -> list[NamedField]:
    """Return the fields of all requests that name a thing."""
    return [
        NamedField(method, path, noun)
        for method in methods()
        for path, field in _fields(method.input_type)
        if (noun := noun_of(field))
    ]


def unknown_fields() -> set[str]:
    """Return the fields that neither name a thing nor are in ``NAMES_NOTHING``."""
    return {
        short_name(field)
        for method in methods()
        for _, field in _fields(method.input_type)
        if not noun_of(field) and not _reasons(field)
    }


def unused_reasons() -> set[str]:
    """Return the entries of ``NAMES_NOTHING`` that the contract does not have."""
    known = {
        name for method in methods() for _, field in _fields(method.input_type) for name in _names(field)
    }
    return {name for names in NAMES_NOTHING.values() for name in names} - known


def noun_of(field: FieldDescriptor) -> str | None:
    """Return the kind of thing that a field names; ``None`` if it names none."""
    if short_name(field) in {name for names in NAMES_NOTHING.values() for name in names}:
        return None
    return next((noun for noun, form in _NOUNS.items() if re.fullmatch(form, field.name)), None)


def short_name(field: FieldDescriptor) -> str:
    """Return the name of a field with those of its messages."""
    return field.full_name.removeprefix(_PACKAGE)


def _names(field: FieldDescriptor) -> set[str]:
    return {short_name(field), f"*.{field.name}"}


def _reasons(field: FieldDescriptor) -> list[str]:
    return [reason for reason, names in NAMES_NOTHING.items() if _names(field).intersection(names)]


def _fields(
    message: Descriptor, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldDescriptor]]:
    """Yield the fields of a message and of those in it, with their paths. Times and masks have no names."""
    for field in message.fields:
        if field.message_type is None:
            if field.type not in _IRRELEVANT:
                yield (*path, field.name), field
        elif field.message_type.full_name.startswith(_PACKAGE):
            yield from _fields(field.message_type, (*path, field.name))
