"""Messages as rows: what the columns hold, and how they come and go."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from sessionhistory_server.model import (
    NOTHING_RARE,
    RARE,
    Media,
    Message,
    MessageContent,
    NewMessage,
    Part,
    ToolCall,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sessionhistory_server.store.connection import Row

FIELDS: Final = (*MessageContent._fields, "sequence", "token_count", "create_time", "size_bytes")
"""The columns of a message, in the order that ``message_of`` takes them."""

SUMMARY_COLUMNS: Final = ", ".join("through_sequence" if name == "sequence" else name for name in FIELDS)
"""Those of a summary, as of the message in the place of the last one that it covers."""

_TOOL_CALLS: Final = FIELDS.index("tool_calls")
_CONTENT: Final = len(MessageContent._fields)
_LENGTH: Final = len(FIELDS)

# Without the checks of their own constructors: a window is a thousand of each.
_new = tuple.__new__

_SENT: Final = (
    *MessageContent._fields,
    "token_count",
    "size_bytes",
    "tokens_through",
    "bytes_through",
)
# Those that are no text, as the schema has them.
_TYPES: Final = {
    "pinned": "boolean",
    **dict.fromkeys(("send_time_nanos", "tokens_through", "bytes_through"), "bigint"),
    **dict.fromkeys(("token_count_given", "token_count", "size_bytes"), "integer"),
    **dict.fromkeys(("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"), "integer"),
}

SENT_COLUMNS: Final = ", ".join(_SENT)
SENT_VALUES: Final = ", ".join(
    {
        "payload": "decode(new.payload, 'base64')",
        "tokens_through": "session.base_tokens + new.tokens_through",
        "bytes_through": "session.base_bytes + new.bytes_through",
    }.get(name, f"new.{name}")
    for name in _SENT
)
SENT_RECORD: Final = "ordinal bigint, " + ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in _SENT)
"""The record of each message, for json_to_recordset."""


def message_of(row: Row) -> Message:
    """Return the message in a row that begins with the columns ``FIELDS``."""
    content = _new(MessageContent, row[:_CONTENT])
    tool_calls, parts, sequence, token_count, create_time, size_bytes = row[_TOOL_CALLS:_LENGTH]
    if tool_calls is not None or parts is not None:
        content = content._replace(tool_calls=_decode_tool_calls(tool_calls), parts=_decode_parts(parts))
    return _new(Message, (content, sequence, token_count, create_time, size_bytes))


def records(new: Sequence[NewMessage]) -> Iterator[dict[str, Any]]:
    """Yield a record for each message of one session.

    ``ordinal``, ``tokens_through`` and ``bytes_through`` run from the first of them.
    """
    tokens, size = 0, 0
    for ordinal, message in enumerate(new, start=1):
        if not message.content.pinned:
            tokens += message.token_count
            size += message.size_bytes
        yield _record(message, ordinal, tokens, size)


def encode(values: Iterable[Mapping[str, Any]]) -> str:
    """Return records as one JSON text: a statement of one parameter, prepared once for any content."""
    return json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))


def _record(message: NewMessage, ordinal: int, tokens: int, size: int) -> dict[str, Any]:
    content = message.content
    record: dict[str, Any] = {
        "message_id": content.message_id,
        "role": content.role,
        "content": content.content,
        "pinned": content.pinned,
        "status": content.status,
        "ordinal": ordinal,
        "token_count": message.token_count,
        "size_bytes": message.size_bytes,
        "tokens_through": tokens,
        "bytes_through": size,
    }
    if content[RARE:] != NOTHING_RARE:
        record |= _rare_record(content)
    return record


def _rare_record(content: MessageContent) -> dict[str, Any]:
    names = content._fields[RARE:_TOOL_CALLS]
    record = {name: value for name in names if (value := getattr(content, name)) is not None}
    if content.payload is not None:
        record["payload"] = base64.b64encode(content.payload).decode()
    if content.tool_calls:
        record["tool_calls"] = json.dumps(content.tool_calls, ensure_ascii=False)
    if content.parts:
        record["parts"] = _encode_parts(content.parts)
    return record


def _decode_tool_calls(text: str | None) -> tuple[ToolCall, ...] | None:
    return None if text is None else tuple(ToolCall(*call) for call in json.loads(text))


def _encode_parts(parts: tuple[Part, ...]) -> str:
    return json.dumps([_encode_part(part) for part in parts], ensure_ascii=False)


def _encode_part(part: Part) -> list[str]:
    if part.media is not None:
        if part.media.uri is not None:
            return ["uri", part.media.mime_type, part.media.uri]
        return ["data", part.media.mime_type, base64.b64encode(part.media.data or b"").decode()]
    if part.json is not None:
        return ["json", part.json]
    return ["text", part.text or ""]


def _decode_parts(text: str | None) -> tuple[Part, ...] | None:
    return None if text is None else tuple(_decode_part(*part) for part in json.loads(text))


def _decode_part(kind: str, first: str, second: str = "") -> Part:
    match kind:
        case "uri":
            return Part(media=Media(first, second, None))
        case "data":
            return Part(media=Media(first, None, base64.b64decode(second)))
        case "json":
            return Part(json=first)
        case _:
            return Part(text=first)
