"""CallStream: each of many calls on one stream behaves as if it were made alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rpc_support import append, create, fresh_id, said

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.call_streams import OpenCalls, appending, made, reading, reason_of
from support.errors import failure_of_outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]


async def test_each_outcome_is_that_of_the_call_alone(service: Service) -> None:
    """Each method has the outcome on a stream that it has alone."""
    for session_id in ("a", "b"):
        await append(service, session_id, said("first"), new_session={})
    appended, window, listed, message, session, state, batch = await made(
        service.stub,
        appending("b", "second", message_id="m", history={"max_messages": 5}),
        reading("a", max_messages=1),
        {"list_messages": {"session_id": "a"}},
        {"get_message": {"session_id": "a", "sequence": 1}},
        {"get_session": {"session_id": "a"}},
        {"update_state": {"session_id": "c-none", "patch": '{"a":1}'}},
        {"append_messages": {"session_id": "d", "messages": [said("x", message_id="x")], "new_session": {}}},
    )
    stub = service.stub
    again = pb.AppendMessageRequest(
        session_id="b", message=said("second", message_id="m"), history={"max_messages": 5}
    )
    assert appended.append_message == await stub.AppendMessage(again)
    assert [m.content for m in appended.append_message.history.messages] == ["first", "second"]
    assert window.get_history == await stub.GetHistory(pb.GetHistoryRequest(session_id="a", max_messages=1))
    assert listed.list_messages == await stub.ListMessages(pb.ListMessagesRequest(session_id="a"))
    assert message.get_message.message == listed.list_messages.messages[0]
    assert session.get_session == await stub.GetSession(pb.GetSessionRequest(session_id="a"))
    assert reason_of(state) == ("NOT_FOUND", "SESSION_NOT_FOUND")
    assert [m.content for m in batch.append_messages.messages] == ["x"]


async def test_one_that_fails_fails_alone(service: Service) -> None:
    """A failed call has its own error, with its usual details and its own id."""
    await create(service, "mine", user_id="u")
    await append(service, "full", said("one", message_id="m"), new_session={})
    *failed, last = await made(
        service.stub,
        reading("none"),
        reading("mine", user_id="v"),
        reading("mine", max_messages=-1),
        appending("full", "two", message_id="m"),
        appending("full", expected_last_sequence=7),
        {"append_message": {"session_id": "full"}, "request_id": "mine-1"},
        appending("full", "good"),
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
    failure = failure_of_outcome(failed[-1].error)
    assert failure.violations == {"message": "is required"}
    assert failure.request_id == "mine-1"


async def test_the_ids_of_calls(shared: Service) -> None:
    """A call has the id that its caller gave it, or else the stream's and its number."""
    options = {"metadata": [("x-request-id", "stream-1")]}
    outcomes = await made(
        shared.stub,
        reading("none", user_id="u") | {"request_id": "own"},
        reading("none") | {"request_id": "not valid"},
        reading("none"),
        **options,
    )
    ids = [failure_of_outcome(outcome.error).request_id for outcome in outcomes]
    assert ids == ["own", "stream-1/2", "stream-1/3"]


async def test_the_first_response_is_empty(shared: Service) -> None:
    """A stream whose first message has no calls is accepted, too."""
    stream = OpenCalls(shared.stub, {"unordered": True})
    await stream.send()
    assert await stream.read()
    assert stream.responses == [pb.CallStreamResponse()]
    assert len(await stream.make(reading(fresh_id()))) == 1
    assert await stream.end() == "OK"


async def test_a_stream_without_messages(shared: Service) -> None:
    """A stream that ends before its first message ends well."""
    stream = OpenCalls(shared.stub)
    assert await stream.end() == "OK"
    assert not stream.outcomes
