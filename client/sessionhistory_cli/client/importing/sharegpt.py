"""Read conversations in the format of ShareGPT, which many sets of training data have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sessionhistory.types import Message, Role, SessionFields, ToolCall
from sessionhistory_cli.client.importing.json_fields import BadFieldError, JsonFields
from sessionhistory_cli.client.importing.message_size import problem_of
from sessionhistory_cli.client.importing.recordings import (
    BadRecordingError,
    Recording,
    content_id,
    with_ids,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_cli.client.importing.options import ImportOptions

_ROLES: Final = {
    "system": Role.SYSTEM,
    "human": Role.USER,
    "user": Role.USER,
    "gpt": Role.ASSISTANT,
    "chatgpt": Role.ASSISTANT,
    "assistant": Role.ASSISTANT,
    "model": Role.ASSISTANT,
    "bing": Role.ASSISTANT,
    "bard": Role.ASSISTANT,
    "function_call": Role.ASSISTANT,
    "tool_call": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
    "function_response": Role.TOOL,
    "tool_response": Role.TOOL,
    "observation": Role.TOOL,
}
_CALLS: Final = ("function_call", "tool_call")


def sharegpt_conversation(value: object, options: ImportOptions) -> Recording:
    """Return the conversation of an object with ``conversations``.

    Raises:
        BadRecordingError: a field is missing, wrong or too large.
    """
    conversation_id = ""
    try:
        fields = JsonFields(value)
        conversation_id = _id(fields)
        owner = (fields.optional("user_id", str) if options.user_id is None else options.user_id) or None
        session = SessionFields(
            title=fields.optional("title", str) or "", model=fields.optional("model", str) or ""
        )
        messages = with_ids(_messages(fields))
    except BadFieldError as error:
        raise BadRecordingError(str(error), conversation_id) from error
    session_id = conversation_id or options.session_id or content_id([value], owner)
    return Recording(session_id, owner, session, messages, fields.losses())


def _id(fields: JsonFields) -> str:
    named = fields.optional("conversation_id", str)
    if fields.has_type("id", int):
        return named or str(fields.optional("id", int))
    return named or fields.optional("id", str) or ""


def _messages(fields: JsonFields) -> Iterator[Message]:
    if prompt := fields.optional("system", str):
        yield Message(role=Role.SYSTEM, content=prompt)
    found = False
    for inner in fields.objects("conversations"):
        found = True
        message = _message(inner)
        if problem := problem_of(message):
            raise inner.error("value", problem)
        yield message
    if not found:
        raise fields.error("conversations", "must have at least one")


def _message(fields: JsonFields) -> Message:
    by, said = ("from", "value") if fields.has("from") else ("role", "content")
    speaker = fields.required(by, str)
    if speaker not in _ROLES:
        raise fields.error(by, f"must be one of {', '.join(_ROLES)}")
    text = fields.optional(said, str)
    call = _call(text) if speaker in _CALLS and text else None
    if call:
        return Message(role=Role.ASSISTANT, tool_calls=(call,))
    return Message(role=_ROLES[speaker], content=text)


def _call(text: str) -> ToolCall | None:
    """Return the call of a text with ``name`` and ``arguments`` in JSON; ``None`` for another text."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not isinstance(told.get("name"), str) or not told["name"]:
        return None
    arguments = told.get("arguments", "")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(name=told["name"], arguments=arguments)
