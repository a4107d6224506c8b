"""Read messages of OpenAI's chat API that have more than the fields of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionhistory.formats import openai_chat

if TYPE_CHECKING:
    from sessionhistory.types import Message
    from sessionhistory_cli.client.importing.json_fields import JsonFields

_OWN_ROLE: Final = "function"
_NAMES: Final = ("refusal", "audio", "function_call")
_PARTS: Final = ("text", "image_url")
_READ: Final = ("role", "content", "tool_calls", "reasoning_content", *_NAMES)
_SHARED: Final = ("name", "tool_call_id")
_MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError)


def chat_message(fields: JsonFields) -> Message | None:
    """Return a message whose form only OpenAI's chat API has, with its item as payload; else ``None``.

    These are refusals, sounds, files, custom calls, and the role and the call of the older functions.

    Raises:
        BadFieldError: the message has such a form, and is not one of this API.
    """
    if not _is_special(fields.original):
        return None
    item = {name: value for name, value in fields.original.items() if name in (*_READ, *_SHARED)}
    try:
        (found,) = openai_chat.from_request({"messages": [item]})
    except _MALFORMED:
        raise fields.error("content", "must be as in OpenAI's chat API, as the other fields") from None
    fields.drop(*_READ)
    return found


def _is_special(told: dict[str, Any]) -> bool:
    return (
        told.get("role") == _OWN_ROLE
        or any(told.get(name) for name in _NAMES)
        or any(call.get("type") == "custom" for call in _objects(told.get("tool_calls")))
        or any(_is_special_part(part) for part in _objects(told.get("content")))
    )


def _is_special_part(part: dict[str, Any]) -> bool:
    return isinstance(part.get("type"), str) and part["type"] not in _PARTS


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
