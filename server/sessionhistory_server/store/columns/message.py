"""The columns of messages and summaries: their conversion to parameters, and from rows.

A new field of the model that is a text gets a column with its name, without another line here. A column of
another type needs a line in ``_TYPES``.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final, LiteralString

from sessionhistory_server.model.message import (
    Media,
    Message,
    MessageContent,
    MessageExtras,
    NewMessage,
    Part,
    Reasoning,
    ToolCall,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sessionhistory_server.store.postgres.connection import Row

_EXTRAS_INDEX: Final = MessageContent._fields.index("extras")
_EXTRAS: Final = slice(_EXTRAS_INDEX, _EXTRAS_INDEX + len(MessageExtras._fields))
_NO_EXTRAS: Final = tuple(MessageExtras())

CONTENT_COLUMNS: Final = (
    *MessageContent._fields[:_EXTRAS_INDEX],
    *MessageExtras._fields,
    *MessageContent._fields[_EXTRAS_INDEX + 1 :],
)
"""The columns of a message's content, with the columns of the extras in place of ``extras``."""

MESSAGE_COLUMNS: Final = (*CONTENT_COLUMNS, *(name for name in Message._fields if name != "content"))
"""The columns of a message, in the order that ``message_of`` takes them."""

SUMMARY_COLUMNS: Final = tuple("through_sequence" if name == "sequence" else name for name in MESSAGE_COLUMNS)
"""The columns of a summary, in the order that ``message_of`` takes them.

As a message, a summary has the sequence of the last message that it covers.
"""

_BEFORE_EXTRAS: Final = slice(None, _EXTRAS.start)
_AFTER_EXTRAS: Final = slice(_EXTRAS.stop, len(CONTENT_COLUMNS))
_STORED: Final = slice(len(CONTENT_COLUMNS), len(MESSAGE_COLUMNS))

# The constructors of named tuples are slower, and so is unpacking. A window may have 1,000 messages.
_new = tuple.__new__

SENT_COLUMNS: Final = (*CONTENT_COLUMNS, "token_count", "size_bytes", "tokens_through", "bytes_through")
"""The columns of a message that ``message_records`` fills."""

INSERT_COLUMNS: Final = ", ".join(SENT_COLUMNS)
"""``SENT_COLUMNS`` as SQL, for an insert."""

_VALUES: Final = {
    "payload": "decode(new.payload, 'base64')",
    "tokens_through": "session.base_tokens + new.tokens_through",
    "bytes_through": "session.base_bytes + new.bytes_through",
}
INSERT_VALUES: Final = ", ".join(_VALUES.get(name, f"new.{name}") for name in SENT_COLUMNS)
"""The values of ``INSERT_COLUMNS``, from a record ``new`` and the ``session`` before the insert."""

# The columns that are not text, with their types in the schema. A test compares them.
_TYPES: Final = {
    "pinned": "boolean",
    **dict.fromkeys(("sequence", "send_time_nanos", "tokens_through", "bytes_through"), "bigint"),
    **dict.fromkeys(("token_count_given", "token_count", "size_bytes"), "integer"),
    **dict.fromkeys(("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"), "integer"),
}


def column_type(name: str) -> LiteralString:
    """Return the type in which a statement takes a column: a payload as the text of its base64."""
    return _TYPES.get(name, "text")


JSON_RECORD: Final = ", ".join(("ordinal bigint", *(f"{name} {column_type(name)}" for name in SENT_COLUMNS)))
"""The columns of ``json_to_recordset`` for ``message_records``."""


def message_of(row: Row) -> Message:
    """Return the message in a row that begins with ``MESSAGE_COLUMNS`` or ``SUMMARY_COLUMNS``."""
    extras: Any = None
    if (found := row[_EXTRAS]) != _NO_EXTRAS:
        extras = _new(MessageExtras, found)
        if extras.tool_calls is not None or extras.parts is not None:
            extras = extras._replace(
                tool_calls=_decode_tool_calls(extras.tool_calls), parts=_decode_parts(extras.parts)
            )
    content = _new(MessageContent, row[_BEFORE_EXTRAS] + (extras,) + row[_AFTER_EXTRAS])
    return _new(Message, (content,) + row[_STORED])


def message_records(new: Sequence[NewMessage]) -> Iterator[dict[str, Any]]:
    """Yield a record of JSON for each message that is appended to one session.

    ``ordinal``, ``tokens_through`` and ``bytes_through`` begin at the first of these messages.
    """
    tokens, size = 0, 0
    for ordinal, message in enumerate(new, start=1):
        if not message.content.pinned:
            tokens += message.token_count
            size += message.size_bytes
        yield _record(message, ordinal, tokens, size)


def to_json(values: Iterable[Mapping[str, Any]]) -> str:
    """Return records as one JSON text, so that the statement has the same text for any number of records."""
    return json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))


def _record(message: NewMessage, ordinal: int, tokens: int, size: int) -> dict[str, Any]:
    record: dict[str, Any] = dict(zip(MessageContent._fields, message.content, strict=True))
    extras = record.pop("extras")
    record["ordinal"] = ordinal
    record["token_count"] = message.token_count
    record["size_bytes"] = message.size_bytes
    record["tokens_through"] = tokens
    record["bytes_through"] = size
    if extras is not None:
        record |= _extras_record(extras)
    return record


def _extras_record(extras: MessageExtras) -> dict[str, Any]:
    named = zip(MessageExtras._fields, extras, strict=True)
    record = {name: value for name, value in named if value is not None}
    if extras.payload is not None:
        record["payload"] = base64.b64encode(extras.payload).decode()
    if extras.tool_calls:
        record["tool_calls"] = json.dumps(extras.tool_calls, ensure_ascii=False)
    if extras.parts:
        record["parts"] = _encode_parts(extras.parts)
    return record


def _decode_tool_calls(text: str | None) -> tuple[ToolCall, ...] | None:
    return None if text is None else tuple(ToolCall(*call) for call in json.loads(text))


def _encode_parts(parts: tuple[Part, ...]) -> str:
    return json.dumps([_encode_part(part) for part in parts], ensure_ascii=False)


# If an older release does not know the kind of a part, it shows the second element as a text. For reasoning
# the element is empty, so that such a release does not show reasoning as an answer.
def _encode_part(part: Part) -> list[Any]:
    if part.reasoning is not None:
        return ["reasoning", "", part.reasoning]
    if part.media is not None:
        if part.media.uri is not None:
            return ["uri", part.media.mime_type, part.media.uri]
        return ["data", part.media.mime_type, base64.b64encode(part.media.data or b"").decode()]
    if part.json is not None:
        return ["json", part.json]
    return ["text", part.text or ""]


def _decode_parts(text: str | None) -> tuple[Part, ...] | None:
    return None if text is None else tuple(_decode_part(*part) for part in json.loads(text))


def _decode_part(kind: str, first: str, second: Any = "") -> Part:  # noqa: ANN401 - of JSON
    match kind:
        case "uri":
            return Part(media=Media(first, second, None))
        case "data":
            return Part(media=Media(first, None, base64.b64decode(second)))
        case "json":
            return Part(json=first)
        case "reasoning":
            return Part(reasoning=Reasoning(*second))
        case _:
            return Part(text=first)
