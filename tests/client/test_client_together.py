"""Calls that are made at once with the client for asyncio: in one request, and each as if it were alone."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
from client_samples import fresh_id
from fake_server import FakeServer, Refusal, info

from sessionhistory import AppendMessageResult, AsyncSessionHistoryClient, Message, Role, Session, errors
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.proxy import locked_session
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

# Too short for another attempt.
SHORT_SECONDS = 0.1

HELLO = Message(role=Role.USER, content="hello")
NEW = Session()


@pytest_asyncio.fixture
async def clients() -> AsyncIterator[Callable[..., AsyncSessionHistoryClient]]:
    """Makes clients for a target, which are closed in the end."""
    made = []

    def make(target: str, **options: Any) -> AsyncSessionHistoryClient:
        made.append(AsyncSessionHistoryClient(target, **options))
        return made[-1]

    yield make
    for client in made:
        await client.close()


def requests(fake: FakeServer) -> list[list[str]]:
    """Return what each request to a server was: the sessions of several, or of one."""
    return [
        [entry.append_message.session_id or entry.get_history.session_id for entry in call.request.calls]
        if isinstance(call.request, pb.MultiCallRequest)
        else [call.request.session_id]
        for call in fake.calls
    ]


def outcomes(*session_ids: str) -> pb.MultiCallResponse:
    """Return an answer to calls, by their order; of an append with the session's id."""
    return pb.MultiCallResponse(
        outcomes=[
            {"index": index, "append_message": {"session_id": session_id, "message": {"role": 3}}}
            for index, session_id in enumerate(session_ids)
        ]
    )


async def test_each_gets_its_own(clients: Callable[..., AsyncSessionHistoryClient], shared: Service) -> None:
    """Results, windows and errors come to those who asked."""
    client = clients(shared.address)
    session_ids = [fresh_id() for _ in range(100)]
    appended = await asyncio.gather(
        *(
            client.append_message(session_id, Message(role=Role.USER, content=session_id), create_session=NEW)
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


async def test_what_goes_together(
    clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer
) -> None:
    """Appends and windows of one turn of the loop do; large messages, other methods and one alone do not."""
    client = clients(fake.address)
    large = Message(role=Role.USER, content="x" * 10_000)
    fake.answers = []
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


async def test_many_go_in_several(
    clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer
) -> None:
    """No request has more than eight calls."""
    client = clients(fake.address)
    names = [str(number) for number in range(10, 30)]
    calls = (client.append_message(name, HELLO, timeout_seconds=SHORT_SECONDS) for name in names)
    await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(requests(fake)[:3], key=lambda names: (len(names), names)) == [
        names[16:],
        names[:8],
        names[8:16],
    ]


async def test_only_with_the_same_metadata(
    clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer
) -> None:
    """A call that is somebody else's goes with its own."""
    tokens = iter(["a", "b", "a", "b", "c"])
    client = clients(fake.address, metadata=lambda: {"authorization": next(tokens)})
    await asyncio.gather(*map(client.get_history, "12345"), return_exceptions=True)
    asked = zip(fake.calls, requests(fake), strict=True)
    sent = {(call.metadata["authorization"], *session_ids) for call, session_ids in asked}
    assert sent >= {("a", "1", "3"), ("b", "2", "4"), ("c", "5")}


async def test_a_service_that_cannot(
    clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer
) -> None:
    """An older one is asked once; from then on each call goes alone."""
    client = clients(fake.address)
    fake.answers = [Refusal(grpc.StatusCode.UNIMPLEMENTED)]
    for _ in range(2):
        await asyncio.gather(client.get_history("a"), client.get_history("b"))
    assert sorted(requests(fake), key=len) == [["a"], ["b"], ["a"], ["b"], ["a", "b"]]


async def test_one_that_is_tried_again(
    clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer
) -> None:
    """An outcome that may change is asked for again, and nothing else."""
    client = clients(fake.address)
    refusal = Refusal(details=[info("POOL_EXHAUSTED")])
    first = outcomes("a", "b")
    first.outcomes[1].error = dict(refusal.trailing)["grpc-status-details-bin"]
    fake.answers = [first, pb.AppendMessageResponse(session_id="b", message={"role": 3})]
    results = await asyncio.gather(client.append_message("a", HELLO), client.append_message("b", HELLO))
    assert [result.session_id for result in results] == ["a", "b"]
    assert requests(fake) == [["a", "b"], ["b"]]
    together, again = (call.request for call in fake.calls)
    assert together.calls[1].append_message == again


async def test_a_request_that_fails(
    clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer
) -> None:
    """Each call in it is tried again, when its own turn comes."""
    client = clients(fake.address)
    fake.answers = [Refusal()]
    await asyncio.gather(client.get_history("a"), client.get_history("b"))
    together, *again = requests(fake)
    assert (together, sorted(again)) == (["a", "b"], [["a"], ["b"]])


async def test_one_without_an_outcome(
    clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer
) -> None:
    """It is not lost: it is asked again."""
    client = clients(fake.address)
    fake.answers = [outcomes("a"), pb.AppendMessageResponse(session_id="b", message={"role": 3})]
    results = await asyncio.gather(client.append_message("a", HELLO), client.append_message("b", HELLO))
    assert [result.session_id for result in results] == ["a", "b"]
    assert requests(fake) == [["a", "b"], ["b"]]


async def test_each_has_its_own_time(
    clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer
) -> None:
    """One whose time is up fails; the others wait for theirs, and so does the service."""
    client = clients(fake.address, timeout_seconds=PATIENCE_SECONDS * 10)
    fake.answers = [None]
    long = asyncio.ensure_future(client.get_history("long"))
    with pytest.raises(errors.DeadlineExceededError):
        await client.get_history("short", timeout_seconds=0.2)
    assert [sorted(names) for names in requests(fake)] == [["long", "short"]]
    assert fake.calls[0].seconds_left > PATIENCE_SECONDS
    assert not long.done()
    long.cancel()
    await asyncio.wait([long])
    await until(lambda: fake.given_up == 1)


async def test_one_is_cancelled(clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer) -> None:
    """The others go on; when the last has gone, so has the request."""
    client = clients(fake.address)
    fake.answers = [None]
    one, other = (asyncio.ensure_future(client.get_history(name)) for name in ("one", "other"))
    await until(lambda: fake.calls)
    one.cancel()
    await asyncio.wait([one])
    assert one.cancelled()
    assert (other.done(), fake.given_up) == (False, 0)
    other.cancel()
    await asyncio.wait([other])
    assert other.cancelled()
    await until(lambda: fake.given_up == 1)


async def test_one_is_cancelled_before_it_is_sent(
    clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer
) -> None:
    """It is left out."""
    client = clients(fake.address)
    calls = [asyncio.ensure_future(client.get_history(name)) for name in "abc"]
    asyncio.get_running_loop().call_soon(calls[0].cancel)
    await asyncio.wait(calls)
    assert requests(fake)[0] == ["b", "c"]


async def test_two_event_loops(clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer) -> None:
    """A call of another loop is refused, even if it would meet one that is due."""
    client = clients(fake.address)
    await client.get_session("s")
    due = asyncio.ensure_future(client.get_history("due"))
    await asyncio.sleep(0)  # it has run, and what sends it has not
    refused = []

    def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            asyncio.run(client.get_history("elsewhere"))
        refused.append(True)

    thread = threading.Thread(target=elsewhere, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert refused
    await due


async def test_the_last_that_waits_runs_out_of_time(
    clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer
) -> None:
    """Then the request ends, and not when those would have who have gone or are answered."""
    client = clients(fake.address, timeout_seconds=PATIENCE_SECONDS * 10)
    fake.answers = [None]
    long = asyncio.ensure_future(client.get_history("long"))
    short = asyncio.ensure_future(client.get_history("short", timeout_seconds=0.5))
    await until(lambda: fake.calls)
    long.cancel()
    with pytest.raises(errors.DeadlineExceededError):
        await short
    await until(lambda: fake.given_up == 1)


async def test_limits_of_sizes_hold_for_each(
    clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer
) -> None:
    """A client that limits the size of messages makes each call alone."""
    client = clients(fake.address, options=[("grpc.max_receive_message_length", 200_000)])
    await asyncio.gather(*map(client.get_history, "ab"))
    assert sorted(requests(fake)) == [["a"], ["b"]]


async def test_outcomes_that_make_no_sense(
    clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer
) -> None:
    """They fail nobody but whom they are for; who gets none asks again."""
    client = clients(fake.address)
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


async def test_closing_ends_what_is_answered_in_part(
    clients: Callable[..., AsyncSessionHistoryClient], service: Service, database_url: str
) -> None:
    """Who still waits is told that the client is closed, and not when its time is up."""
    client = clients(service.address, timeout_seconds=PATIENCE_SECONDS * 10)
    for session_id in ("held", "free"):
        await client.create_session(Session(session_id=session_id))
    with locked_session(database_url, "held"):
        held, free = (asyncio.ensure_future(client.append_message(name, HELLO)) for name in ("held", "free"))
        await free
        await client.close()
        with pytest.raises(RuntimeError, match="the client is closed"):
            await asyncio.wait_for(held, PATIENCE_SECONDS)


async def test_somebody_cancels_all_tasks(
    clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer
) -> None:
    """The client's own among them: its callers are not cancelled by that, and try again."""
    client = clients(fake.address)
    fake.answers = [None]
    calls = [asyncio.ensure_future(client.get_history(name)) for name in "ab"]
    await until(lambda: fake.calls)
    ours = {asyncio.current_task(), *calls}
    (hidden,) = (task for task in asyncio.all_tasks() - ours if "_make_together" in repr(task))
    hidden.cancel()
    await asyncio.gather(*calls)
    assert sorted(requests(fake)[1:]) == [["a"], ["b"]]


async def test_closing_ends_them(clients: Callable[..., AsyncSessionHistoryClient], fake: FakeServer) -> None:
    """Under way or about to be sent, each says that the client is closed."""
    client = clients(fake.address, timeout_seconds=PATIENCE_SECONDS * 10)
    fake.answers = [None]
    under_way = [asyncio.ensure_future(client.get_history(name)) for name in "ab"]
    await until(lambda: fake.calls)
    due = [asyncio.ensure_future(client.get_history(name)) for name in "cd"]
    asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(client.close()))
    done = await asyncio.wait_for(asyncio.gather(*under_way, *due, return_exceptions=True), PATIENCE_SECONDS)
    assert [(type(error), str(error)) for error in done] == [(RuntimeError, "the client is closed")] * 4


async def test_a_locked_session_holds_up_nobody(
    clients: Callable[..., AsyncSessionHistoryClient], service: Service, database_url: str
) -> None:
    """Who waits for one session waits alone."""
    client = clients(service.address, timeout_seconds=PATIENCE_SECONDS)
    for session_id in ("held", "free"):
        await client.create_session(Session(session_id=session_id))
    with locked_session(database_url, "held"):
        held, free = (asyncio.ensure_future(client.append_message(name, HELLO)) for name in ("held", "free"))
        assert (await asyncio.wait_for(free, PATIENCE_SECONDS)).last_sequence == 1
        assert not held.done()
    assert (await held).last_sequence == 1
