"""Windows in steps, together with turns, pinned messages, summaries, truncation and ``before_sequence``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rpc_support import append
from steps_support import begin, beginnings

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.talk import (
    MAX_MESSAGES,
    MAX_TURNS,
    NONE,
    TOKEN_BUDGET,
    assistant,
    compact,
    end_of_run,
    pinned,
    sequences,
    store,
    user,
    window,
)

if TYPE_CHECKING:
    from support.service import Service


async def test_with_turns(service: Service) -> None:
    """The run begins at the first turn that begins behind the boundary. A cut by turns moves every time."""
    await begin(service, *[user(10), assistant(10), assistant(10)] * 10)
    limits = {"token_budget": 150, "step_tokens": 50, "max_messages": 100}
    read = await window(service, **limits)
    assert (sequences(read)[0], read.cut, read.tokens_until_move) == (16, TOKEN_BUDGET, 0)
    await store(service, user(10))
    read = await window(service, **limits, max_turns=20)
    assert (sequences(read)[0], read.cut, end_of_run(read)) == (22, TOKEN_BUDGET, 22)
    assert read.tokens_until_move == 40
    read = await window(service, **limits, max_turns=2)
    assert (sequences(read)[0], read.cut, read.messages_until_move) == (28, MAX_TURNS, 0)


async def test_the_newest_turn_is_not_cut_away_by_a_step(service: Service) -> None:
    """If the newest turn fits the limits, a step leaves it in the window."""
    await begin(service, user(10), assistant(10), user(10), *[assistant(10)] * 7)
    limits = {"token_budget": 80, "step_tokens": 40, "max_messages": 100, "max_turns": 5}
    read = await window(service, **limits)
    assert (sequences(read), read.cut, read.tokens_until_move) == (list(range(3, 11)), TOKEN_BUDGET, 0)
    await store(service, assistant(10))
    assert sequences(await window(service, **limits)) == []


async def test_with_pinned_messages(service: Service) -> None:
    """Pinned messages take their part of the limits, and their tokens do not count towards the multiples."""
    await begin(service, pinned(40), *[user(10)] * 12, pinned(35), *[user(10)] * 12)
    limits = {"token_budget": 175, "step_tokens": 500, "max_messages": 100}
    read = await window(service, **limits)
    assert sequences(read) == [1, 14, *range(18, 27)]
    assert (end_of_run(read), read.tokens_until_move) == (18, 10)
    read = await window(service, **limits | {"include_pinned": False})
    assert (sequences(read)[0], read.total_tokens) == (11, 150)
    read = await window(service, max_messages=12, step_messages=100)
    assert sequences(read) == [1, 14, *range(20, 27)]


async def test_with_a_summary(service: Service) -> None:
    """A summary takes its part of the limits. The multiples count the covered messages, and stay."""
    await begin(service, *[user(10)] * 40)
    limits = {"token_budget": 105, "step_tokens": 40, "max_messages": 100}
    read = await window(service, **limits)
    assert (sequences(read)[0], read.tokens_until_move) == (33, 25)
    await compact(service, 29, 5)
    read = await window(service, **limits)
    assert (sequences(read)[:2], read.cut) == ([29, 33], TOKEN_BUDGET)
    assert (read.tokens_until_move, end_of_run(read)) == (20, 33)
    await compact(service, 34, 5)
    read = await window(service, **limits)
    assert (sequences(read)[:2], read.cut) == ([34, 35], NONE)
    assert (read.tokens_until_move, read.messages_until_move) == (40, 93)


async def test_messages_behind_a_summary(service: Service) -> None:
    """The run begins at the summary while it fits, and then at a multiple of the step."""
    await begin(service, *[user(1)] * 13)
    await compact(service, 13)
    found = await beginnings(service, 20, 1, max_messages=11, step_messages=4)
    assert found == [(13, 20)]
    read = await window(service, max_messages=11, step_messages=4)
    assert sequences(read) == [13, *range(24, 34)]
    assert (read.cut, read.messages_until_move) == (MAX_MESSAGES, 0)


async def test_after_a_truncation(service: Service) -> None:
    """A truncation takes the totals back: the window is that of a session that ended there."""
    limits = {"token_budget": 100, "step_tokens": 30, "max_messages": 100}
    await begin(service, *[user(10)] * 25)
    assert sequences(await window(service, **limits))[0] == 16
    before = await window(service, **limits, before_sequence=18)
    await service.stub.TruncateMessages(pb.TruncateMessagesRequest(session_id="s", keep_through_sequence=17))
    read = await window(service, **limits)
    assert (list(read.messages), sequences(read)[0]) == (list(before.messages), 10)
    found = await beginnings(service, 6, 10, **limits)
    assert found == [(10, 2), (13, 3), (16, 1)]


async def test_before_sequence(service: Service) -> None:
    """A window of the past begins where it began then, and does not say when it moves."""
    await begin(service, *[user(10)] * 15)
    for limits in ({"token_budget": 100, "step_tokens": 30}, {"max_messages": 10, "step_messages": 4}):
        then = await window(service, **limits)
        assert then.HasField("messages_until_move")
        await append(service, "s", *[user(10)] * 7)
        last = then.last_sequence
        read = await window(service, **limits, before_sequence=last + 1)
        assert (list(read.messages), read.cut) == (list(then.messages), then.cut)
        assert not read.HasField("tokens_until_move")
        assert not read.HasField("messages_until_move")
