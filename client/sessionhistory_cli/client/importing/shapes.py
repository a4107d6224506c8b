"""Find out which format a JSON value has: by names that only one format has."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, NamedTuple


class Format(StrEnum):
    """A format that the import reads."""

    OWN = "own"
    OPENAI_CHAT = "openai-chat"
    OPENAI_RESPONSES = "openai-responses"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    SHAREGPT = "sharegpt"
    CHATGPT = "chatgpt"
    LANGCHAIN = "langchain"


class Shape(NamedTuple):
    """The format of a value, and whether it is one message instead of a conversation."""

    format: Format
    is_message: bool


MESSAGES_OF: Final = {
    Format.OWN: "messages",
    Format.OPENAI_CHAT: "messages",
    Format.OPENAI_RESPONSES: "input",
    Format.ANTHROPIC: "messages",
    Format.GEMINI: "contents",
    Format.SHAREGPT: "conversations",
    Format.LANGCHAIN: "messages",
}
"""The name of the list of messages in a conversation. A file of messages is such a list."""

_OWN_MESSAGE: Final = frozenset({"message_id", "messageId", "sequence"})
_OWN_CONVERSATION: Final = frozenset({"conversation_id", "session_id", "sessionId", "session", "history"})
_ANTHROPIC_BLOCKS: Final = frozenset(
    {"tool_use", "tool_result", "thinking", "redacted_thinking", "server_tool_use"}
)
_RESPONSES_ITEMS: Final = frozenset(
    {
        "message",
        "reasoning",
        "item_reference",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "web_search_call",
        "file_search_call",
        "computer_call",
        "computer_call_output",
        "code_interpreter_call",
        "image_generation_call",
        "local_shell_call",
        "mcp_call",
    }
)
_LANGCHAIN_TYPES: Final = frozenset(
    {"human", "ai", "system", "tool", "function", "chat", "remove"}
    | {"AIMessageChunk", "HumanMessageChunk", "SystemMessageChunk", "ToolMessageChunk"}
)
_GEMINI_ROLES: Final = ("user", "model")
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


def shape(value: object, chosen: Format | None) -> Shape | None:
    """Return the shape of a value, ``None`` if it has none.

    Args:
        value: A value of a file.
        chosen: The format that the user has named; ``None``: any.
    """
    if not isinstance(value, dict):
        return None
    if chosen is None:
        return _conversation(value) or _message(value)
    is_message = chosen in MESSAGES_OF and not _is_conversation(value, chosen)
    return Shape(chosen, is_message)


def _is_conversation(value: dict[str, Any], chosen: Format) -> bool:
    names = {MESSAGES_OF[chosen], *(("output",) if chosen is Format.OPENAI_RESPONSES else ())}
    return not names.isdisjoint(value) or not _OWN_CONVERSATION.isdisjoint(value)


def _conversation(value: dict[str, Any]) -> Shape | None:
    found: Format | None = None
    if isinstance(value.get("mapping"), dict):
        found = Format.CHATGPT
    elif isinstance(value.get("conversations"), list):
        found = Format.SHAREGPT
    elif isinstance(value.get("contents"), list):
        found = Format.GEMINI
    elif isinstance(value.get("messages"), list):
        found = _of_messages(value)
    elif _is_list_of_items(value.get("input")) or value.get("object") == "response":
        found = Format.OPENAI_RESPONSES
    elif not _OWN_CONVERSATION.isdisjoint(value):
        found = Format.OWN
    return Shape(found, is_message=False) if found else None


def _of_messages(value: dict[str, Any]) -> Format:
    shapes = [_message(message) for message in value["messages"] if isinstance(message, dict)]
    formats = {one.format for one in shapes if one}
    if found := next((one for one in (Format.LANGCHAIN, Format.ANTHROPIC) if one in formats), None):
        return found
    if not _OWN_CONVERSATION.isdisjoint(value) or Format.OWN in formats:
        return Format.OWN
    return Format.ANTHROPIC if isinstance(value.get("system"), str | list) else Format.OPENAI_CHAT


def _message(value: dict[str, Any]) -> Shape | None:
    kind, role = _text(value, "type"), _text(value, "role")
    found: Format | None = None
    if role and not _OWN_MESSAGE.isdisjoint(value):
        found = Format.OWN
    elif "lc" in value or (kind in _LANGCHAIN_TYPES and not role and {"data", "content"} & value.keys()):
        found = Format.LANGCHAIN
    elif kind in _RESPONSES_ITEMS and _is_item(value):
        found = Format.OPENAI_RESPONSES
    elif "from" in value and "value" in value:
        found = Format.SHAREGPT
    elif role in _GEMINI_ROLES and isinstance(value.get("parts"), list) and "content" not in value:
        found = Format.GEMINI
    elif role in _ROLES:
        found = Format.ANTHROPIC if _has_anthropic_blocks(value) else Format.OPENAI_CHAT
    return Shape(found, is_message=True) if found else None


def _is_item(value: dict[str, Any]) -> bool:
    """Return whether an object that has a type of the Responses API is no answer of Anthropic's API."""
    return not (value["type"] == "message" and "stop_reason" in value)


def _is_list_of_items(value: object) -> bool:
    if not isinstance(value, list):
        return False
    return all(isinstance(item, dict) and _message(item) is not None for item in value)


def _has_anthropic_blocks(message: dict[str, Any]) -> bool:
    content = message.get("content")
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    return any(
        _text(block, "type") in _ANTHROPIC_BLOCKS
        or (_text(block, "type") in ("image", "document") and "source" in block)
        for block in blocks
    )


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""
