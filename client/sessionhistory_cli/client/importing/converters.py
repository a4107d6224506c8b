"""The readers of conversations, by format."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sessionhistory_cli.client.importing.api_conversations import api_conversation
from sessionhistory_cli.client.importing.chatgpt import chatgpt_conversations
from sessionhistory_cli.client.importing.own_conversations import own_conversation
from sessionhistory_cli.client.importing.recordings import with_pins
from sessionhistory_cli.client.importing.shapes import Format
from sessionhistory_cli.client.importing.sharegpt import sharegpt_conversation

if TYPE_CHECKING:
    from sessionhistory_cli.client.importing.options import ImportOptions
    from sessionhistory_cli.client.importing.recordings import Recording


def conversations(value: object, found: Format, options: ImportOptions) -> list[Recording]:
    """Return the conversation of a value; for a tree of messages, one more for each other branch.

    Raises:
        BadRecordingError: the value has not the format, or cannot be stored.
    """
    made = _conversations(value, found, options)
    return [with_pins(one) for one in made] if options.pin_system else made


def _conversations(value: object, found: Format, options: ImportOptions) -> list[Recording]:
    match found:
        case Format.OWN | Format.OPENAI_CHAT:
            return [own_conversation(value, options, needs_id=found is Format.OWN)]
        case Format.SHAREGPT:
            return [sharegpt_conversation(value, options)]
        case Format.CHATGPT:
            return chatgpt_conversations(value, options)
    return [api_conversation(value, found, options)]


def part_of_session(
    messages: list[object], session_id: str, before: int, options: ImportOptions
) -> Recording:
    """Return a part of a session: messages as `messages --json` prints them.

    Args:
        messages: The messages.
        session_id: The id of the session.
        before: The number of messages that earlier parts have.
        options: The options of the import.

    Raises:
        BadRecordingError: a message cannot be stored.
    """
    named = replace(options, session_id=session_id)
    made = own_conversation({"messages": messages}, named, needs_id=False, before=before)
    return with_pins(made) if options.pin_system else made
