"""Histories that are edited through the client."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from client_samples import MESSAGE, fresh_id, sent

from sessionhistory import Message, Role, Session, SessionParent, SessionStatus, TruncateHistoryResult
from sessionhistory.errors import (
    CompactionMismatchError,
    MessageIdReusedError,
    SequenceMismatchError,
    SessionExistsError,
    SessionNotActiveError,
)

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


async def test_a_fork(client: Client) -> None:
    """It has the messages up to a sequence, and what the caller says it is to be."""
    session_id = fresh_id()
    old = Session(user_id="ada", title="t", labels={"a": "b"})
    messages = (await client.append_messages(session_id, _said("a", "b", "c"), create_session=old)).messages
    new = Session(session_id=fresh_id(), title="other")
    forked = await client.fork_session(session_id, new, up_to_sequence=2, user_id="ada")
    session = forked.session
    assert (forked.created, session.session_id, session.title) == (True, new.session_id, "other")
    assert (session.user_id, session.labels, session.message_count) == ("ada", {"a": "b"}, 2)
    assert session.parent == SessionParent(session_id=session_id, sequence=2)
    assert [message async for message in client.list_messages(new.session_id)] == list(messages[:2])
    with pytest.raises(SessionExistsError):
        await client.fork_session(session_id, new, up_to_sequence=2)
    again = await client.fork_session(session_id, new, allow_existing=True)
    assert (again.created, again.session) == (False, session)
    another = await client.fork_session(session_id)
    assert (another.created, another.session.message_count) == (True, 3)
    assert (await client.get_session(session_id)).parent is None


async def test_a_reset(client: Client) -> None:
    """The old session ends, and the new one goes on with what it is to keep."""
    session_id = fresh_id()
    old = Session(user_id="ada", state={"step": 1}, metadata={"a": 2**60})
    await client.append_messages(session_id, _said("a", "b"), create_session=old)
    reset = await client.reset_session(session_id, keep_state=True, previous_status=SessionStatus.ABANDONED)
    assert reset.previous_session == await client.get_session(session_id)
    assert reset.previous_session.status is SessionStatus.ABANDONED
    assert (reset.session.message_count, reset.session.state) == (0, {"step": 1})
    assert (reset.session.user_id, reset.session.metadata) == ("ada", {"a": 2**60})
    with pytest.raises(SessionNotActiveError):
        await client.reset_session(session_id)
    new = Session(session_id=fresh_id())
    second = await client.reset_session(reset.session.session_id, new, keep_history=True, user_id="ada")
    assert (second.session.session_id, second.session.state) == (new.session_id, None)
    assert second.session.parent == SessionParent(session_id=reset.session.session_id, sequence=0)
    assert await client.reset_session(reset.session.session_id, new, keep_history=True) == second


async def test_a_compaction(client: Client) -> None:
    """The summary stands for what it covers, in windows and with all its fields; nothing else changes."""
    session_id, messages = fresh_id(), _said("a", "b", "c")
    await client.append_messages(session_id, messages, create_session=Session(user_id="ada"))
    assert (await client.get_history(session_id)).summary is None
    summary = dataclasses.replace(MESSAGE, tool_calls=())
    compacted = await client.compact_history(
        session_id,
        summary,
        through_sequence=2,
        user_id="ada",
        expected_last_sequence=3,
        expected_compacted_through_sequence=0,
    )
    assert sent(compacted.message) == sent(summary)
    covered = compacted.summary
    assert (covered.through_sequence, covered.message_count, covered.total_tokens) == (2, 2, 2)
    assert covered.create_time == compacted.message.create_time
    window = await client.get_history(session_id)
    assert [message.sequence for message in window.messages] == [2, 3]
    assert (window.messages[0], window.summary) == (compacted.message, covered)
    assert await _texts(client, session_id) == ["a", "b", "c"]
    assert (await client.get_session(session_id)).compacted_through_sequence == 2
    again = await client.compact_history(session_id, summary, through_sequence=2)
    assert again == compacted
    with pytest.raises(CompactionMismatchError) as caught:
        await client.compact_history(
            session_id, messages[0], through_sequence=3, expected_compacted_through_sequence=0
        )
    assert caught.value.metadata["actual_compacted_through_sequence"] == "2"
