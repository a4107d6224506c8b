"""Concurrent calls of the asyncio client share a request, and each behaves as if it were alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
from client_samples import fresh_id
from fake_server import FakeServer, Refusal, info
from together_support import HELLO, outcomes, requests

from sessionhistory import AppendMessageResult, Message, Role, SessionFields, errors
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Connect = Callable[..., Client]

# Too short for another attempt.
SHORT_SECONDS = 0.1

NEW = SessionFields()


async def test_each_gets_its_own(connect_asyncio: Connect, shared: Service) -> None:
    """Each caller gets its own result, window or error."""
    client = connect_asyncio(shared.address)
    session_ids = [fresh_id() for _ in range(100)]
    appended = await asyncio.gather(
        *(
            client.append_message(session_id, Message(role=Role.USER, content=session_id), new_session=NEW)
            for session_id in session_ids
        )
    )
    assert [result.session_id for result in appended] == session_ids
    *windows, missing = await asyncio.gather(
        *map(client.get_history, session_ids), client.get_history("none"), return_exceptions=True
    )
    assert [window.messages[0].content for window in windows] == session_ids
    assert isinstance(missing, errors.SessionNotFoundError)
    assert missing.code is grpc.StatusCode.NOT_FOUND
    assert missing.request_id
    assert "none" in str(missing)


async def test_what_goes_together(connect_asyncio: Connect, fake: FakeServer) -> None:
    """Appends and windows of one turn of the event loop share a request.

    Large messages, other methods and a single call do not.
    """
    client = connect_asyncio(fake.address)
    large = Message(role=Role.USER, content="x" * 10_000)
    await asyncio.gather(
        client.append_message("a", HELLO),
        client.get_history("b"),
        client.append_message("large", large),
        client.get_session("other"),
        return_exceptions=True,
    )
    assert max(requests(fake), key=len) == ["a", "b"]
    assert {tuple(r) for r in requests(fake)} >= {("a", "b"), ("large",), ("other",)}
    fake.calls.clear()
    await client.get_history("alone")
    assert requests(fake) == [["alone"]]
    assert isinstance(fake.calls[0].request, pb.GetHistoryRequest)


async def test_many_go_in_several(connect_asyncio: Connect, fake: FakeServer) -> None:
    """A request has at most eight calls."""
    client = connect_asyncio(fake.address)
    names = [str(number) for number in range(10, 30)]
    calls = (client.append_message(name, HELLO, timeout_seconds=SHORT_SECONDS) for name in names)
    await asyncio.gather(*calls, return_exceptions=True)
    assert max(map(len, requests(fake))) == 8
    assert all(some in requests(fake) for some in (names[:8], names[8:16], names[16:]))


async def test_only_with_the_same_metadata(connect_asyncio: Connect, fake: FakeServer) -> None:
    """Only calls with the same metadata share a request."""
    tokens = iter(["a", "b", "a", "b", "c"])
    client = connect_asyncio(fake.address, metadata=lambda: {"authorization": next(tokens)})
    await asyncio.gather(*map(client.get_history, "12345"), return_exceptions=True)
    asked = zip(fake.calls, requests(fake), strict=True)
    sent = {(call.metadata["authorization"], *session_ids) for call, session_ids in asked}
    assert sent >= {("a", "1", "3"), ("b", "2", "4"), ("c", "5")}


async def test_a_service_that_cannot(connect_asyncio: Connect, fake: FakeServer) -> None:
    """An older service is asked once; from then on each call is sent alone."""
    client = connect_asyncio(fake.address)
    fake.answers = [Refusal(grpc.StatusCode.UNIMPLEMENTED)]
    for _ in range(2):
        await asyncio.gather(client.get_history("a"), client.get_history("b"))
    alone = [names for names in requests(fake) if len(names) == 1]
    assert requests(fake)[0] == ["a", "b"]
    assert sorted(alone) == [["a"], ["a"], ["b"], ["b"]]


async def test_one_that_is_tried_again(connect_asyncio: Connect, fake: FakeServer) -> None:
    """Only the call whose outcome may change is retried."""
    client = connect_asyncio(fake.address)
    refusal = Refusal(details=[info("POOL_EXHAUSTED")])
    first = outcomes("a", "b")
    first.outcomes[1].error = dict(refusal.trailing)["grpc-status-details-bin"]
    fake.answers = [first, pb.AppendMessageResponse(session_id="b", message={"role": 3})]
    results = await asyncio.gather(client.append_message("a", HELLO), client.append_message("b", HELLO))
    assert [result.session_id for result in results] == ["a", "b"]
    assert requests(fake) == [["a", "b"], ["b"]]
    together, again = (call.request for call in fake.calls)
    assert together.calls[1].append_message == again


async def test_a_request_that_fails(connect_asyncio: Connect, fake: FakeServer) -> None:
    """If the request fails, each of its calls is retried when its own wait ends."""
    client = connect_asyncio(fake.address)
    fake.answers = [Refusal()]
    await asyncio.gather(client.get_history("a"), client.get_history("b"))
    together, *again = requests(fake)
    assert together == ["a", "b"]
    assert {name for names in again for name in names} == {"a", "b"}  # retries may share a request


async def test_one_without_an_outcome(connect_asyncio: Connect, fake: FakeServer) -> None:
    """A call without an outcome is sent again."""
    client = connect_asyncio(fake.address)
    fake.answers = [outcomes("a"), pb.AppendMessageResponse(session_id="b", message={"role": 3})]
    results = await asyncio.gather(client.append_message("a", HELLO), client.append_message("b", HELLO))
    assert [result.session_id for result in results] == ["a", "b"]
    assert requests(fake) == [["a", "b"], ["b"]]


async def test_limits_of_sizes_hold_for_each(connect_asyncio: Connect, fake: FakeServer) -> None:
    """A client that limits the size of messages sends each call alone."""
    client = connect_asyncio(fake.address, options=[("grpc.max_receive_message_length", 200_000)])
    await asyncio.gather(*map(client.get_history, "ab"))
    assert sorted(requests(fake)) == [["a"], ["b"]]


async def test_outcomes_that_make_no_sense(connect_asyncio: Connect, fake: FakeServer) -> None:
    """An invalid outcome fails only its own call; a call without an outcome is sent again."""
    client = connect_asyncio(fake.address)
    answer = outcomes("a", "b")
    answer.outcomes[1].error = b"\xff"
    for index in (-1, 7, 0):
        answer.outcomes.add(index=index, append_message={"session_id": "wrong"})
    fake.answers = [answer]
    first, second = await asyncio.gather(
        client.append_message("a", HELLO), client.append_message("b", HELLO), return_exceptions=True
    )
    assert isinstance(first, AppendMessageResult)
    assert first.session_id == "a"
    assert isinstance(second, errors.SessionHistoryError)
    assert second.code is grpc.StatusCode.UNKNOWN
