"""Parse conversations in the format of the import, of the commands' output, and of OpenAI's chat API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory_cli.client.importing.json_fields import BadFieldError, JsonFields
from sessionhistory_cli.client.importing.message_parser import parse_message
from sessionhistory_cli.client.importing.recordings import BadRecordingError, Recording, content_id
from sessionhistory_cli.client.importing.session_parser import parse_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory.types import Message
    from sessionhistory_cli.client.importing.options import ImportOptions

_OF_WINDOW: Final = "it describes the window"
_WINDOW: Final = (
    "total_tokens",
    "omitted_message_count",
    "cut",
    "next_before_sequence",
    "last_sequence",
    "summary",
    "tokens_until_move",
    "messages_until_move",
)


def own_conversation(value: object, options: ImportOptions, *, needs_id: bool, before: int = 0) -> Recording:
    """Return the conversation of a JSON object.

    Args:
        value: The object: a conversation, or what `history --json` prints.
        options: The options of the import.
        needs_id: Whether the object must have an id; otherwise one is made of its content.
        before: The number of messages of the conversation that earlier objects have.

    Raises:
        BadRecordingError: the value is not a JSON object, or a field is missing, wrong or too large.
    """
    conversation_id = ""
    try:
        fields = JsonFields(value)
        about = fields.object("session") or fields
        conversation_id = _id(about, required=needs_id)
        named = about.optional("user_id", str)
        owner = (named if options.user_id is None else options.user_id) or None
        session = parse_session(about)
        messages = tuple(_messages(fields, before))
    except BadFieldError as error:
        raise BadRecordingError(str(error), conversation_id) from error
    session_id = conversation_id or options.session_id or content_id([value], owner)
    return Recording(session_id, owner, session, messages, fields.losses(), before)


def _id(fields: JsonFields, *, required: bool) -> str:
    if named := fields.optional("session_id", str):
        return named
    if required:
        return fields.required("conversation_id", str)
    return fields.optional("conversation_id", str) or ""


def _messages(fields: JsonFields, before: int) -> Iterator[Message]:
    found = False
    history = fields.object("history")
    if history is not None:
        history.lose(_OF_WINDOW, *_WINDOW)
    for place, inner in enumerate((history or fields).objects("messages"), start=before + 1):
        found = True
        yield parse_message(inner, f"import-{place}")
    if not found:
        raise fields.error("messages", "must have at least one")
