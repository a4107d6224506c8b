"""CallStream: calls that name the same session are made in their order, and hold up no others."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import append, create, get, said, stored

from sessionhistory_server.limits import MAX_STREAM_CALLS, MAX_STREAM_CALLS_OF_SESSION
from support.call_streams import UNORDERED, OpenCalls, appending, made, reading, reason_of
from support.errors import failure_of_outcome
from support.locks import locked_session, waiting
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

STATE = {"update_state": {"session_id": "s", "patch": '{"a":1}'}}


def contents(window: Any) -> list[str]:
    """Return the texts of a window."""
    return [message.content for message in window.get_history.history.messages]


def in_progress(service: Service) -> int:
    """Return how many calls the worker has in progress."""
    return service.app._load._calls.total  # noqa: SLF001 - else a port for metrics would be needed


async def test_appends_keep_their_order(service: Service) -> None:
    """Appends that are sent one after the other, in one message or several, are stored in that order."""
    stream = OpenCalls(service.stub)
    numbers = await stream.send(*(appending(content=str(i)) for i in range(40)))
    numbers += [number for i in range(40, 60) for number in await stream.send(appending(content=str(i)))]
    outcomes = await stream.results(numbers)
    assert [outcome.append_message.message.sequence for outcome in outcomes] == list(range(1, 61))
    assert [message.content for message in await stored(service)] == [str(i) for i in range(60)]
    assert await stream.end() == "OK"


async def test_each_call_sees_the_calls_before_it(service: Service) -> None:
    """A read sees the appends before it and none after it. So does the window of an append."""
    first, window, second, third, late, state, session = await made(
        service.stub,
        appending(content="1"),
        reading(),
        appending(content="2", history={}),
        appending(content="3"),
        reading(),
        STATE,
        {"get_session": {"session_id": "s"}},
    )
    assert contents(window) == ["1"]
    assert [m.content for m in second.append_message.history.messages] == ["1", "2"]
    assert contents(late) == ["1", "2", "3"]
    counters = [each.append_message.last_sequence for each in (first, second, third)]
    assert counters == [1, 2, 3]
    assert state.HasField("update_state")
    assert session.get_session.session.state == '{"a":1}'


async def test_a_failed_call_lets_the_next_ones_begin(service: Service) -> None:
    """A refused append changes nothing for the appends around it."""
    good, bad, more, window = await made(
        service.stub, appending(content="1"), appending(content="\0"), appending(content="2"), reading()
    )
    assert good.append_message.message.sequence == 1
    assert reason_of(bad) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert more.append_message.message.sequence == 2
    assert contents(window) == ["1", "2"]


async def test_a_locked_session_holds_up_only_its_own_calls(service: Service, database_url: str) -> None:
    """Calls of other sessions are answered; those of the locked one wait, and are then made in order."""
    await create(service, "held")
    stream = OpenCalls(service.stub)
    with locked_session(database_url, "held"):
        held = await stream.send(
            appending("held", "1"), appending("held", "2"), reading("held"), appending("held", "3")
        )
        free = await stream.make(appending("free"), reading("free"))
        assert [outcome.HasField("error") for outcome in free] == [False, False]
        await until(lambda: waiting(database_url))
        assert not stream.outcomes
    first, second, window, third = await stream.results(held)
    sequences = [each.append_message.message.sequence for each in (first, second, third)]
    assert sequences == [1, 2, 3]
    assert contents(window) == ["1", "2"]
    assert await stream.end() == "OK"


async def test_a_call_that_waits_holds_no_place(service: Service, database_url: str) -> None:
    """Only the calls that have begun count for the load of the worker."""
    await create(service, "s")
    stream = OpenCalls(service.stub)
    with locked_session(database_url):
        numbers = await stream.send(STATE, *(reading() for _ in range(20)))
        await until(lambda: waiting(database_url))
        assert in_progress(service) == 1
    assert len(await stream.results(numbers)) == 21


async def test_without_order(service: Service, database_url: str) -> None:
    """If the header says so, a read does not wait for the calls before it."""
    await append(service, "s", said("1"), new_session={})
    stream = OpenCalls(service.stub, UNORDERED)
    with locked_session(database_url):
        (held,) = await stream.send(appending(content="2"))
        (window,) = await stream.make(reading())
        assert contents(window) == ["1"]
    (outcome,) = await stream.results([held])
    assert outcome.append_message.message.sequence == 2


async def test_the_deadline_counts_while_a_call_waits(service: Service, database_url: str) -> None:
    """A call that has not begun at its deadline never begins."""
    await create(service, "s")
    soon = {"timeout": {"nanos": 200_000_000}}
    stream = OpenCalls(service.stub)
    with locked_session(database_url):
        held, late = await stream.send(STATE, appending() | soon)
        (outcome,) = await stream.results([late])
        assert reason_of(outcome) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
        assert "had no effect" in outcome.error.message
    (outcome,) = await stream.results([held])
    assert outcome.HasField("update_state")
    (appended,) = await stream.make(appending(content="after"))
    assert [message.content for message in await stored(service)] == ["after"]
    assert appended.append_message.message.sequence == 1


async def test_the_deadline_of_a_call_that_has_begun(service: Service, database_url: str) -> None:
    """At its deadline a call is answered, and the next one of its session begins."""
    await create(service, "s")
    stream = OpenCalls(service.stub)
    with locked_session(database_url):
        (late,) = await stream.make(STATE | {"timeout": {"nanos": 200_000_000}})
        assert reason_of(late) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
        (window,) = await stream.make(reading())
        assert window.HasField("get_history")
    await until(lambda: service.app.is_idle)


async def test_the_default_deadline(serve: Serve, database_url: str) -> None:
    """A call without a timeout has the server's default deadline."""
    service = await serve(database_url, default_deadline_seconds=0.5)
    await create(service, "s")
    stream = OpenCalls(service.stub)
    with locked_session(database_url):
        (late,) = await stream.make(STATE)
        assert reason_of(late) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")


@pytest.mark.parametrize("duration", [{}, {"seconds": -1}, {"nanos": -1}])
async def test_a_timeout_that_is_none(shared: Service, duration: dict[str, int]) -> None:
    """A timeout must be more than 0. The error is of that call alone."""
    bad, good = await made(shared.stub, reading("none") | {"timeout": duration}, reading("none"))
    assert failure_of_outcome(bad.error).violations == {"timeout": "must be more than 0"}
    assert reason_of(good) == ("NOT_FOUND", "SESSION_NOT_FOUND")


async def test_the_longest_timeout(service: Service) -> None:
    """A timeout may be as long as google.protobuf.Duration allows."""
    longest = {"timeout": {"seconds": 315_576_000_000}}
    appended, window = await made(service.stub, appending() | longest, reading() | longest)
    assert appended.HasField("append_message")
    assert window.HasField("get_history")


async def test_the_room_of_a_session(service: Service, database_url: str) -> None:
    """A call too many of one session is refused at once; calls of other sessions are not."""
    await create(service, "s")
    stream = OpenCalls(service.stub)
    with locked_session(database_url):
        held = await stream.send(*[STATE] * MAX_STREAM_CALLS_OF_SESSION)
        refused, free = await stream.make(STATE, appending("free"))
        assert reason_of(refused) == ("RESOURCE_EXHAUSTED", "STREAM_FULL")
        assert failure_of_outcome(refused.error).retry_seconds is not None
        assert free.HasField("append_message")
    assert [outcome.HasField("update_state") for outcome in await stream.results(held)] == [True] * 64
    assert (await get(service)).state_version == MAX_STREAM_CALLS_OF_SESSION


async def test_more_calls_than_a_stream_may_have(service: Service, database_url: str) -> None:
    """Calls beyond the bound of the stream wait until there is room; none is refused or lost."""
    names = ["a", "b", "c", "d"]
    for name in names:
        await create(service, name)
    stream = OpenCalls(service.stub)
    with ExitStack() as locks:
        for name in names:
            locks.enter_context(locked_session(database_url, name))
        states = [{"update_state": {"session_id": name, "patch": '{"a":1}'}} for name in names]
        numbers = await stream.send(*states * MAX_STREAM_CALLS_OF_SESSION)
        assert len(numbers) == MAX_STREAM_CALLS
        for _ in range(4):
            numbers += await stream.send(*(appending("e") for _ in range(8)))
        await until(lambda: waiting(database_url) == len(names))
    outcomes = await stream.results(numbers)
    assert not any(outcome.HasField("error") for outcome in outcomes)
    assert await stream.end() == "OK"


async def test_a_caller_that_goes(service: Service, database_url: str) -> None:
    """If the caller cancels, calls that wait never begin, and every connection returns to the pool."""
    await create(service, "s")
    stream = OpenCalls(service.stub)
    with locked_session(database_url):
        await stream.send(STATE, appending(content="never"))
        await stream.make(appending("free"))
        await until(lambda: waiting(database_url))
        stream.call.cancel()
        await until(lambda: not in_progress(service))
    await until(lambda: service.app.is_idle)
    assert not await stored(service)
    assert len(await stored(service, "free")) == 1
