"""Truncation, replacement, fork, reset and compaction through the client."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from client_samples import MESSAGE, SETTINGS, fresh_id, sent

from sessionhistory import (
    HistorySettings,
    Message,
    Role,
    SessionFields,
    SessionParent,
    SessionStatus,
    TruncateMessagesResult,
    UnansweredCalls,
)
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
    """The end is removed if the expectation is right; a removed message can be stored again."""
    session_id, messages = fresh_id(), _said("a", "b", "c")
    await client.append_messages(session_id, messages, user_id="ada", new_session=SessionFields())
    with pytest.raises(SequenceMismatchError):
        await client.truncate_messages(session_id, keep_through_sequence=1, expected_last_sequence=2)
    truncated = await client.truncate_messages(
        session_id, keep_through_sequence=1, user_id="ada", expected_last_sequence=3
    )
    assert truncated == TruncateMessagesResult(
        removed_message_count=2, last_sequence=3, message_count=1, total_tokens=1
    )
    assert (await client.append_message(session_id, messages[1])).message.sequence == 4
    assert await _texts(client, session_id) == ["a", "b"]


async def test_a_replacement(client: Client) -> None:
    """Messages replace others; a retry stores nothing, and the id of a kept message is refused."""
    session_id, messages = fresh_id(), _said("a", "b", "c")
    await client.append_messages(session_id, messages, new_session=SessionFields())
    new = _said("d", "e")
    replaced = await client.append_messages(session_id, new, keep_through_sequence=1)
    assert [message.sequence for message in replaced.messages] == [4, 5]
    assert await client.append_messages(session_id, new, keep_through_sequence=1) == replaced
    assert await _texts(client, session_id) == ["a", "d", "e"]
    with pytest.raises(MessageIdReusedError):
        await client.append_messages(session_id, messages, keep_through_sequence=1)


async def test_a_fork(client: Client) -> None:
    """A fork has the messages up to a sequence, and the fields that the caller sets."""
    session_id, fork_id = fresh_id(), fresh_id()
    old = SessionFields(title="t", labels={"a": "b"})
    stored = await client.append_messages(session_id, _said("a", "b", "c"), user_id="ada", new_session=old)
    new = SessionFields(title="other")
    forked = await client.fork_session(
        session_id, new, new_session_id=fork_id, through_sequence=2, user_id="ada"
    )
    session = forked.session
    assert (forked.created, session.session_id, session.title) == (True, fork_id, "other")
    assert (session.user_id, session.labels, session.message_count) == ("ada", {"a": "b"}, 2)
    assert session.parent == SessionParent(session_id=session_id, through_sequence=2)
    assert [message async for message in client.list_messages(fork_id)] == list(stored.messages[:2])
    with pytest.raises(SessionExistsError):
        await client.fork_session(session_id, new_session_id=fork_id, through_sequence=2)
    again = await client.fork_session(session_id, new_session_id=fork_id, allow_existing=True)
    assert (again.created, again.session) == (False, session)
    another = await client.fork_session(session_id, new_user_id="bob")
    assert (another.created, another.session.message_count) == (True, 3)
    assert another.session.user_id == "bob"
    assert (await client.get_session(session_id)).parent is None


async def test_a_reset(client: Client) -> None:
    """The old session ends, and the new one has the parts that the caller keeps."""
    session_id = fresh_id()
    old = SessionFields(state={"step": 1}, metadata={"a": 2**60})
    await client.append_messages(session_id, _said("a", "b"), user_id="ada", new_session=old)
    reset = await client.reset_session(session_id, keep_state=True, previous_status=SessionStatus.ABANDONED)
    assert reset.previous_session == await client.get_session(session_id)
    assert reset.previous_session.status is SessionStatus.ABANDONED
    assert (reset.session.message_count, reset.session.state) == (0, {"step": 1})
    assert (reset.session.user_id, reset.session.metadata) == ("ada", {"a": 2**60})
    with pytest.raises(SessionNotActiveError):
        await client.reset_session(session_id)
    first_id, second_id = reset.session.session_id, fresh_id()
    second = await client.reset_session(
        first_id, SessionFields(model="m"), new_session_id=second_id, keep_messages=True, user_id="ada"
    )
    assert (second.session.session_id, second.session.state) == (second_id, None)
    assert second.session.model == "m"
    assert second.session.parent == SessionParent(session_id=first_id, through_sequence=0)
    assert await client.reset_session(first_id, new_session_id=second_id, keep_messages=True) == second
    third = await client.reset_session(second_id, new_user_id="bob")
    assert third.session.user_id == "bob"


async def test_settings_are_copied_or_replaced(client: Client) -> None:
    """A fork and a reset copy each setting of histories that the caller does not set."""
    session_id, other = fresh_id(), HistorySettings(step_messages=3, unanswered_calls=UnansweredCalls.KEEP)
    mixed = dataclasses.replace(SETTINGS, step_messages=3, unanswered_calls=UnansweredCalls.KEEP)
    await client.create_session(session_id, SessionFields(history_settings=SETTINGS))
    forks = [
        (await client.fork_session(session_id, fields)).session
        for fields in (None, SessionFields(history_settings=other))
    ]
    assert [fork.history_settings for fork in forks] == [SETTINGS, mixed]
    resets = [
        (await client.reset_session(fork.session_id, SessionFields(history_settings=settings))).session
        for fork, settings in zip(forks, (other, None), strict=True)
    ]
    assert [reset.history_settings for reset in resets] == [mixed, mixed]


async def test_a_compaction(client: Client) -> None:
    """The summary replaces covered messages in windows and has all its fields; nothing else changes."""
    session_id, messages = fresh_id(), _said("a", "b", "c")
    await client.append_messages(session_id, messages, user_id="ada", new_session=SessionFields())
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
