"""The fields of appends and windows besides the messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from client_samples import fresh_id

from sessionhistory import (
    History,
    HistoryCut,
    HistoryOptions,
    HistorySettings,
    Message,
    Role,
    SessionFields,
    ToolCall,
    UnansweredCalls,
)

if TYPE_CHECKING:
    from sessionhistory import AsyncSessionHistoryClient as Client


async def test_the_results_of_appends(client: Client) -> None:
    """The result of an append has the session's counters, and says whether the session was created."""
    single = await client.append_message(
        None, Message(role=Role.USER, token_count=2), new_session=SessionFields()
    )
    assert (single.last_sequence, single.message_count, single.total_tokens) == (1, 1, 2)
    assert (single.session_created, single.history) == (True, None)
    batch = await client.append_messages(
        single.session_id,
        (Message(role=Role.USER, content=str(i), token_count=10) for i in range(3)),
        expected_last_sequence=1,
    )
    assert (batch.session_id, batch.session_created) == (single.session_id, False)
    assert (batch.last_sequence, batch.message_count, batch.total_tokens) == (4, 4, 32)
    assert [(message.sequence, message.content) for message in batch.messages] == [
        *((2, "0"), (3, "1"), (4, "2")),
    ]


async def test_windows(client: Client) -> None:
    """A window says which limit cut it, what it left out, and where the window before it ends."""
    session_id = fresh_id()
    talk = [Message(role=Role.USER, content=str(i), token_count=10) for i in range(5)]
    pinned = Message(role=Role.SYSTEM, token_count=1, pinned=True)
    await client.append_messages(session_id, [pinned, *talk], new_session=SessionFields())

    def shape(window: History) -> tuple[Any, ...]:
        numbers = [message.sequence for message in window.messages]
        tokens, omitted = window.total_tokens, window.omitted_message_count
        return numbers, tokens, omitted, window.cut, window.next_before_sequence, window.last_sequence

    everything = ([1, 2, 3, 4, 5, 6], 51, 0, HistoryCut.NONE, None, 6)
    assert shape(await client.get_history(session_id)) == everything
    by_count = await client.get_history(session_id, max_messages=2)
    assert shape(by_count) == ([1, 6], 11, 4, HistoryCut.MAX_MESSAGES, 6, 6)
    by_tokens = await client.get_history(session_id, token_budget=25, include_pinned=False)
    assert shape(by_tokens) == ([5, 6], 20, 4, HistoryCut.TOKEN_BUDGET, 5, 6)
    before = await client.get_history(session_id, before_sequence=4, include_pinned=True)
    assert shape(before) == ([1, 2, 3], 21, 3, HistoryCut.NONE, None, 6)
    whole = await client.get_history(session_id, max_turns=2)
    assert shape(whole) == ([1, 5, 6], 21, 3, HistoryCut.MAX_TURNS, 5, 6)
    nothing = await client.get_history(session_id, max_messages=0)
    assert nothing.messages == ()
    options = HistoryOptions(max_messages=2, token_budget=25, include_pinned=False)
    appended = await client.append_message(session_id, talk[0], history=options)
    assert appended.history
    assert shape(appended.history) == ([5, 6], 20, 4, HistoryCut.MAX_MESSAGES, 5, 6)
    appended = await client.append_message(session_id, talk[0], history=HistoryOptions(max_turns=1))
    assert appended.history
    assert shape(appended.history) == ([1, 6], 11, 4, HistoryCut.MAX_TURNS, 6, 6)


async def _store(client: Client, *messages: Message, **settings: Any) -> str:
    """Store messages in a new session with these settings, and return its id."""
    fields = SessionFields(history_settings=HistorySettings(**settings))
    return (await client.append_messages(None, messages, new_session=fields)).session_id


def _said(role: Role) -> Message:
    return Message(role=role, content="x", token_count=1)


def _call(call_id: str) -> Message:
    return Message(role=Role.ASSISTANT, tool_calls=(ToolCall(name="f", id=call_id),), token_count=1)


def _numbers(window: History | None) -> list[int]:
    assert window
    return [message.sequence for message in window.messages]


def _until_move(window: History | None) -> tuple[int | None, int | None]:
    assert window
    return window.tokens_until_move, window.messages_until_move


async def test_windows_that_move_in_steps(client: Client) -> None:
    """With a step the beginning stays, until more tokens or messages follow than the window says."""
    talk = [Message(role=Role.USER, content=str(i), token_count=10) for i in range(10)]
    session_id = await _store(client, *talk, token_budget=50, step_tokens=20)
    by_tokens = await client.get_history(session_id)
    assert (_numbers(by_tokens), by_tokens.cut) == ([7, 8, 9, 10], HistoryCut.TOKEN_BUDGET)
    assert _until_move(by_tokens) == (10, 16)
    sliding = await client.get_history(session_id, step_tokens=0)
    assert (_numbers(sliding), _until_move(sliding)) == ([6, 7, 8, 9, 10], (None, None))
    by_count = await client.get_history(session_id, max_messages=6, step_messages=2, token_budget=1_000)
    assert (_numbers(by_count), by_count.cut) == ([6, 7, 8, 9, 10], HistoryCut.MAX_MESSAGES)
    assert by_count.messages_until_move == 1
    before = await client.get_history(session_id, before_sequence=10)
    assert (_numbers(before), _until_move(before)) == ([5, 6, 7, 8, 9], (None, None))
    more = [Message(role=Role.USER, content="more", token_count=10) for _ in range(2)]
    stayed = await client.append_message(session_id, more[0], history=HistoryOptions())
    assert (_numbers(stayed.history), _until_move(stayed.history)) == ([7, 8, 9, 10, 11], (0, 15))
    options = HistoryOptions(max_messages=6, token_budget=1_000, step_messages=2)
    moved = await client.append_message(session_id, more[1], history=options)
    assert _numbers(moved.history) == [8, 9, 10, 11, 12]
    assert _numbers(await client.get_history(session_id)) == [9, 10, 11, 12]


async def test_windows_without_unanswered_calls(client: Client) -> None:
    """A message whose call has no result stays, or is left out with the results of its other calls."""
    answer = Message(role=Role.TOOL, tool_call_id="b", token_count=1)
    talk = [_said(Role.USER), _call("a"), _call("b"), _said(Role.USER), answer]
    session_id = await _store(client, *talk, unanswered_calls=UnansweredCalls.OMIT)
    assert _numbers(await client.get_history(session_id)) == [1, 3, 4, 5]
    kept = await client.get_history(session_id, unanswered_calls=UnansweredCalls.KEEP)
    assert _numbers(kept) == [1, 2, 3, 4, 5]
    options = HistoryOptions(max_messages=5, unanswered_calls=UnansweredCalls.OMIT)
    appended = await client.append_message(session_id, _call("c"), history=options)
    assert _numbers(appended.history) == [3, 4, 5]


async def test_windows_of_whole_responses(client: Client) -> None:
    """With whole responses, a window does not begin inside a row of a model's messages."""
    roles = (Role.USER, Role.ASSISTANT, Role.ASSISTANT, Role.USER)
    session_id = await _store(client, *map(_said, roles))
    cut = await client.get_history(session_id, max_messages=2)
    assert (_numbers(cut), cut.next_before_sequence) == ([3, 4], 3)
    whole = await client.get_history(session_id, max_messages=2, whole_responses=True)
    assert (_numbers(whole), whole.next_before_sequence) == ([4], 4)
    await client.update_session(
        session_id, history_settings=HistorySettings(max_messages=2, whole_responses=True)
    )
    assert _numbers(await client.get_history(session_id)) == [4]
    assert _numbers(await client.get_history(session_id, whole_responses=False)) == [3, 4]


async def test_a_window_that_is_too_big(client: Client) -> None:
    """A window ends before its response would be too large, and names that limit."""
    session_id = fresh_id()
    large = [Message(role=Role.USER, payload=bytes(900_000)) for _ in range(5)]
    await client.append_messages(session_id, large[:3], new_session=SessionFields())
    await client.append_messages(session_id, large[3:])
    window = await client.get_history(session_id)
    assert (window.cut, window.next_before_sequence) == (HistoryCut.RESPONSE_SIZE, 2)
    assert [message.message_id for message in window.messages] == [m.message_id for m in large[1:]]
