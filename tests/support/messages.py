"""The content of messages, made from fields that may be among the extras."""

from __future__ import annotations

from typing import Any

from sessionhistory_server.model.message import MessageContent, MessageExtras


def message_content(message_id: str = "id", role: str = "USER", **fields: Any) -> MessageContent:
    """Return the content of a message with some fields, wherever the model has them."""
    extras = {name: fields.pop(name) for name in MessageExtras._fields if name in fields}
    return MessageContent(message_id, role, **fields, extras=MessageExtras(**extras) if extras else None)
