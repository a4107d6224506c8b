"""Histories that are edited through the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from client_samples import fresh_id

from sessionhistory import Message, Role, Session, TruncateHistoryResult
from sessionhistory.errors import MessageIdReusedError, SequenceMismatchError

if TYPE_CHECKING:
    from sessionhistory import AsyncSessionHistoryClient as Client


def _said(*texts: str) -> list[Message]:
    return [Message(role=Role.USER, content=text, token_count=1) for text in texts]


async def _texts(client: Client, session_id: str) -> list[str | None]:
    return [message.content async for message in client.list_messages(session_id)]


async def test_a_truncation(client: Client) -> None:
    """The end is removed if it is what the caller believes it to be; a message of it can be stored again."""
    session_id, messages = fresh_id(), _said("a", "b", "c")
    await client.append_messages(session_id, messages, create_session=Session(user_id="ada"))
    with pytest.raises(SequenceMismatchError):
        await client.truncate_history(session_id, after_sequence=1, expected_last_sequence=2)
    truncated = await client.truncate_history(
        session_id, after_sequence=1, user_id="ada", expected_last_sequence=3
    )
    assert truncated == TruncateHistoryResult(
        removed_message_count=2, last_sequence=3, message_count=1, total_tokens=1
    )
    assert (await client.append_message(session_id, messages[1])).message.sequence == 4
    assert await _texts(client, session_id) == ["a", "b"]


async def test_a_replacement(client: Client) -> None:
    """Messages take the place of others; the same call again stores nothing, and kept ids are taken."""
    session_id, messages = fresh_id(), _said("a", "b", "c")
    await client.append_messages(session_id, messages, create_session=Session())
    new = _said("d", "e")
    replaced = await client.append_messages(session_id, new, replace_after_sequence=1)
    assert [message.sequence for message in replaced.messages] == [4, 5]
    assert await client.append_messages(session_id, new, replace_after_sequence=1) == replaced
    assert await _texts(client, session_id) == ["a", "d", "e"]
    with pytest.raises(MessageIdReusedError):
        await client.append_messages(session_id, messages, replace_after_sequence=1)
