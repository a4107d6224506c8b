"""MultiCall: each of several calls in one request behaves as if it were made alone."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from rpc_support import SERVICE_PATH, append, create, fresh_id, get, said, stored

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.limits import MAX_CALLS, MIB
from support.errors import fails
from support.locks import locked_session
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]


def appending(session_id: str, content: str = "hello", **fields: Any) -> dict[str, Any]:
    """Return an entry that appends to a session, which it creates if it is missing."""
    return {
        "append_message": {
            "session_id": session_id,
            "message": said(content, message_id=fields.pop("message_id", "")),
            "new_session": {},
            **fields,
        }
    }


def reading(session_id: str, **fields: Any) -> dict[str, Any]:
    """Return an entry that reads a window."""
    return {"get_history": {"session_id": session_id, **fields}}


def begin(service: Service, *entries: dict[str, Any], **options: Any) -> Any:
    """Send calls in one MultiCall; return the stream of responses."""
    return service.stub.MultiCall(pb.MultiCallRequest(calls=entries), **options)


async def collected(responses: AsyncIterable[pb.MultiCallResponse]) -> dict[int, Any]:
    """Return the outcomes by their index, each of which must come once."""
    outcomes = [outcome async for response in responses for outcome in response.outcomes]
    by_index = {outcome.index: outcome for outcome in outcomes}
    assert len(by_index) == len(outcomes)
    return by_index


async def together(service: Service, *entries: dict[str, Any], **options: Any) -> list[Any]:
    """Send calls in one MultiCall; return the outcomes in the order of the calls."""
    outcomes = await collected(begin(service, *entries, **options))
    assert sorted(outcomes) == list(range(len(entries)))
    return [outcomes[index] for index in range(len(entries))]


def reason_of(outcome: Any) -> tuple[str, str]:
    """Return the code and the reason of a failed call."""
    status = Status.FromString(outcome.error)
    info = error_details_pb2.ErrorInfo.FromString(status.details[0].value)
    return grpc.StatusCode((status.code, _text(status.code))).name, info.reason


def _text(code: int) -> str:
    return next(str(known.value[1]) for known in grpc.StatusCode if known.value[0] == code)


async def test_each_outcome_is_that_of_the_call_alone(service: Service) -> None:
    """Appends and windows of several sessions have the outcomes that they would have alone."""
    for session_id in ("a", "b"):
        await append(service, session_id, said("first"), new_session={})
    window, appended, nothing = await together(
        service,
        reading("a", max_messages=1),
        appending("b", "second", message_id="m", history={"max_messages": 5}),
        reading("a", max_messages=0),
    )
    alone = pb.GetHistoryRequest(session_id="a", max_messages=1)
    assert window.get_history == await service.stub.GetHistory(alone)
    again = pb.AppendMessageRequest(
        session_id="b", message=said("second", message_id="m"), history={"max_messages": 5}
    )
    assert appended.append_message == await service.stub.AppendMessage(again)
    assert [m.content for m in appended.append_message.history.messages] == ["first", "second"]
    alone = pb.GetHistoryRequest(session_id="a", max_messages=0)
    assert nothing.get_history == await service.stub.GetHistory(alone)


async def test_as_many_as_there_may_be(service: Service) -> None:
    """64 appends to one session are all stored, each under its own sequence."""
    outcomes = await together(service, *(appending("s", str(i)) for i in range(MAX_CALLS)))
    sequences = {outcome.append_message.message.sequence for outcome in outcomes}
    assert sequences == set(range(1, MAX_CALLS + 1))
    by_sequence = {m.sequence: m.content for m in await stored(service)}
    assert {o.append_message.message.sequence: str(i) for i, o in enumerate(outcomes)} == by_sequence


async def test_one_that_fails_fails_alone(service: Service) -> None:
    """A failed call has its own error, with its usual details and the request's id."""
    await create(service, "mine", user_id="u")
    await append(service, "full", said("one", message_id="m"), new_session={})
    options = {"metadata": [("x-request-id", "together-1")]}
    *failed, last = await together(
        service,
        reading("none"),
        reading("mine", user_id="v"),
        reading("mine", max_messages=-1),
        appending("full", "two", message_id="m"),
        appending("full", expected_last_sequence=7),
        {"append_message": {"session_id": "full"}},
        appending("full", "good"),
        **options,
    )
    assert [reason_of(outcome) for outcome in failed] == [
        ("NOT_FOUND", "SESSION_NOT_FOUND"),
        ("NOT_FOUND", "SESSION_NOT_FOUND"),
        ("INVALID_ARGUMENT", "INVALID_FIELD"),
        ("ALREADY_EXISTS", "MESSAGE_ID_REUSED"),
        ("ABORTED", "SEQUENCE_MISMATCH"),
        ("INVALID_ARGUMENT", "INVALID_FIELD"),
    ]
    assert last.append_message.message.content == "good"
    details = Status.FromString(failed[-1].error).details
    violation = error_details_pb2.BadRequest.FromString(details[1].value).field_violations[0]
    assert (violation.field, violation.description) == ("message", "is required")
    request_info = error_details_pb2.RequestInfo.FromString(details[-1].value)
    assert request_info.request_id == "together-1"


@pytest.mark.parametrize(
    ("entries", "field"),
    [
        pytest.param([], "calls", id="none"),
        pytest.param([reading("s")] * (MAX_CALLS + 1), "calls", id="too many"),
        pytest.param([{}] * 1_000_000, "calls", id="very many"),
        pytest.param([appending("s"), {}], "calls[1]", id="empty"),
    ],
)
async def test_a_bad_request_does_nothing(
    service: Service, entries: list[dict[str, Any]], field: str
) -> None:
    """An invalid request is refused as a whole, and has no effect."""
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await collected(begin(service, *entries, timeout=PATIENCE_SECONDS))
    assert list(failure.violations) == [field]
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await get(service, "s")


async def test_bytes_that_are_no_request(shared: Service) -> None:
    """Bytes that are not a request are refused as by any other method."""
    channel: Any = shared.channel
    with fails("INVALID_ARGUMENT", "MALFORMED_REQUEST"):
        await channel.unary_stream(f"{SERVICE_PATH}/MultiCall")(b"\xff").read()
    with fails("INVALID_ARGUMENT", "REQUEST_TOO_LARGE"):
        await channel.unary_stream(f"{SERVICE_PATH}/MultiCall")(b"\x0a" + b"x" * 4 * MIB).read()


async def test_the_user_is_required_of_each(serve: Serve, database_url: str) -> None:
    """A server that requires a user requires one for each call."""
    service = await serve(database_url, require_user_id=True)
    good, bad = await together(service, appending("s", user_id="u"), reading("s"))
    assert good.HasField("append_message")
    assert reason_of(bad) == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_no_database_answers(serve: Serve) -> None:
    """Without a database each call is UNAVAILABLE, and says when to retry."""
    service = await serve("postgresql://localhost:1/none", serving=False)
    for outcome in await together(service, appending("s"), reading("s")):
        assert reason_of(outcome) == ("UNAVAILABLE", "DATABASE_UNAVAILABLE")
        assert Status.FromString(outcome.error).details[1].Is(error_details_pb2.RetryInfo.DESCRIPTOR)


async def test_a_slow_one_keeps_nobody_waiting(service: Service, database_url: str) -> None:
    """Outcomes of other calls come while one call waits for a lock; its own comes later."""
    await create(service, "held")
    with locked_session(database_url, "held"):
        responses = aiter(begin(service, appending("held"), appending("free"), reading("held")))
        early: dict[int, Any] = {}
        while len(early) < 2:
            response = await asyncio.wait_for(anext(responses), PATIENCE_SECONDS)
            early |= {outcome.index: outcome for outcome in response.outcomes}
        assert sorted(early) == [1, 2]
    late = await collected(responses)
    assert [(index, o.append_message.message.sequence) for index, o in late.items()] == [(0, 1)]


async def test_the_deadline_is_of_all(service: Service, database_url: str) -> None:
    """At the deadline finished calls have their outcomes; a call under way is stored once, retried or not."""
    await create(service, "held")
    entry = appending("held", message_id="m")
    with locked_session(database_url, "held"):
        responses = begin(service, entry, appending("free"), timeout=0.5)
        (early,) = (await responses.read()).outcomes
        assert early.index == 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await responses.read()
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: service.app.is_idle)
    (retried,) = await together(service, entry)
    assert retried.append_message.message.sequence == 1
    assert len(await stored(service, "held")) == 1


async def test_a_caller_that_goes(service: Service, database_url: str) -> None:
    """If the caller cancels, the reads end and every connection returns to the pool."""
    await create(service, "held")
    with locked_session(database_url, "held"):
        responses = begin(service, appending("held"), appending("free"))
        await responses.read()
        responses.cancel()
    await until(lambda: service.app.is_idle)
    assert len(await stored(service, "free")) == 1


async def test_responses_are_no_larger_than_any(service: Service) -> None:
    """Large windows come in separate responses, each within gRPC's default size."""
    large = mpb.Message(role=mpb.ROLE_USER, content="x" * (MIB - 1_000))
    session_ids = [fresh_id() for _ in range(3)]
    for session_id in session_ids:
        await append(service, session_id, large, large, new_session={})
    responses = [response async for response in begin(service, *map(reading, session_ids))]
    assert len(responses) == 3
    outcomes = [outcome for response in responses for outcome in response.outcomes]
    assert [len(outcome.get_history.history.messages) for outcome in outcomes] == [2, 2, 2]


async def test_a_caller_that_reads_nothing(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """If the caller reads nothing until its deadline, the call is DEADLINE_EXCEEDED, not INTERNAL."""
    large = mpb.Message(role=mpb.ROLE_USER, content="x" * (MIB - 1_000))
    await append(service, "s", large, large, new_session={})
    responses = begin(service, *[reading("s")] * 16, timeout=1)
    with caplog.at_level(logging.INFO, "sessionhistory_server.rpc.accounting"):
        assert await responses.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: any("call" in record.message for record in caplog.records))
        await until(lambda: service.app.is_idle)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_defect_of_one_is_its_own(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An internal error of one call is INTERNAL for it alone, and is logged with the request's id."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    await create(service, "s")
    monkeypatch.setattr("sessionhistory_server.rpc.convert.window.show_window", broken)
    window, appended = await together(service, reading("s"), appending("s"))
    assert reason_of(window) == ("INTERNAL", "INTERNAL")
    assert appended.HasField("append_message")
    assert "internal error" in caplog.messages


async def test_a_server_without_sharing(serve: Serve, database_url: str) -> None:
    """Without shared statements the outcomes are the same."""
    service = await serve(database_url, coalesce=False)
    first, second = await together(service, appending("s", "one"), appending("t", "two"))
    assert (first.append_message.last_sequence, second.append_message.last_sequence) == (1, 1)
