"""What a client tries again, and when; each call is its own, whatever it has to wait for."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from fake_server import FakeServer, Refusal, info, retry_after

from sessionhistory import Message, Role, Session, errors
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sessionhistory import AsyncSessionHistoryClient as Client

HELLO = Message(role=Role.USER, content="hello")


async def all_of(items: AsyncIterator[Any]) -> list[Any]:
    """Return what an iterator yields."""
    return [item async for item in items]


REPEATED: dict[str, Callable[..., Any]] = {
    "create, without an id": lambda c, **o: c.create_session(Session(), **o),
    "create or get": lambda c, **o: c.create_session(Session(session_id="s"), allow_existing=True, **o),
    "get": lambda c, **o: c.get_session("s", **o),
    "update": lambda c, **o: c.update_session("s", title="t", **o),
    "get active": lambda c, **o: c.get_active_session("u", **o),
    "get active or create": lambda c, **o: c.get_active_session("u", create_session=Session(), **o),
    "update state": lambda c, **o: c.update_state("s", {"a": None}, **o),
    "list page": lambda c, **o: c.list_sessions_page(**o),
    "list": lambda c, **o: all_of(c.list_sessions(**o)),
    "delete if there": lambda c, **o: c.delete_session("s", allow_missing=True, **o),
    "append": lambda c, **o: c.append_message("s", HELLO, **o),
    "append with state": lambda c, **o: c.append_message(
        "s", HELLO, state_patch={"a": 1}, expected_state_version=0, **o
    ),
    "append after": lambda c, **o: c.append_message("s", HELLO, expected_last_sequence=0, **o),
    "append to a new session": lambda c, **o: c.append_message(None, HELLO, create_session=Session(), **o),
    "append several": lambda c, **o: c.append_messages(None, [HELLO, HELLO], create_session=Session(), **o),
    "replace": lambda c, **o: c.append_messages("s", [HELLO], replace_after_sequence=0, **o),
    "truncate as read": lambda c, **o: c.truncate_history(
        "s", after_sequence=0, expected_last_sequence=1, **o
    ),
    "fork": lambda c, **o: c.fork_session("s", **o),
    "fork or get": lambda c, **o: c.fork_session("s", Session(session_id="f"), allow_existing=True, **o),
    "reset": lambda c, **o: c.reset_session("s", **o),
    "compact": lambda c, **o: c.compact_history("s", HELLO, through_sequence=1, **o),
    "compact as read": lambda c, **o: c.compact_history(
        "s", HELLO, through_sequence=1, expected_compacted_through_sequence=0, **o
    ),
    "get message": lambda c, **o: c.get_message("s", sequence=1, **o),
    "get history": lambda c, **o: c.get_history("s", **o),
    "recount": lambda c, **o: c.recount_tokens("s", **o),
    "list messages page": lambda c, **o: c.list_messages_page("s", **o),
    "list messages": lambda c, **o: all_of(c.list_messages("s", **o)),
}
ONCE: dict[str, Callable[..., Any]] = {
    "create": lambda c, **o: c.create_session(Session(session_id="s"), **o),
    "update the one read": lambda c, **o: c.update_session("s", title="t", etag="e", **o),
    "update the state of a version": lambda c, **o: c.update_state("s", {}, expected_state_version=0, **o),
    "delete": lambda c, **o: c.delete_session("s", **o),
    "purge": lambda c, **o: c.delete_session("s", purge=True, **o),
    "undelete": lambda c, **o: c.undelete_session("s", **o),
    "fork by id": lambda c, **o: c.fork_session("s", Session(session_id="f"), **o),
    "truncate": lambda c, **o: c.truncate_history("s", after_sequence=0, **o),
}
GONE = ("UNAVAILABLE", "CANCELLED")
FINAL = [code.name for code in grpc.StatusCode if code.name not in {*GONE, "OK"}]
NOTHING_DONE = {
    "POOL_EXHAUSTED": "RESOURCE_EXHAUSTED",
    "SCHEMA_OUTDATED": "UNAVAILABLE",
    "TRANSACTION_CONFLICT": "UNAVAILABLE",
}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardly wait between attempts."""
    monkeypatch.setattr("sessionhistory._retry._FIRST_DELAY_SECONDS", 0.001)


@pytest.fixture
def caller(connect: Callable[..., Client], fake: FakeServer) -> Client:
    """A client of the fake server."""
    return connect(fake.address)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("code", GONE)
@pytest.mark.parametrize("what", REPEATED)
async def test_what_is_tried_again(caller: Client, fake: FakeServer, what: str, code: str) -> None:
    """What does the same twice as once is asked again, in the same words, while the service is gone."""
    fake.answers = [Refusal(grpc.StatusCode[code])] * 2
    await REPEATED[what](caller)
    first, second, third = (call.request for call in fake.calls)
    assert first == second == third


@pytest.mark.parametrize("code", GONE)
@pytest.mark.parametrize("what", ONCE)
async def test_what_is_asked_once(caller: Client, fake: FakeServer, what: str, code: str) -> None:
    """What would do more, or fail, the second time is the caller's to repeat."""
    fake.answers = [Refusal(grpc.StatusCode[code], details=[info("DATABASE_UNAVAILABLE"), retry_after(0)])]
    with pytest.raises(errors.DatabaseUnavailableError):
        await ONCE[what](caller)
    assert len(fake.calls) == 1


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("reason", NOTHING_DONE)
async def test_what_was_not_done_is_tried_again(caller: Client, fake: FakeServer, reason: str) -> None:
    """Where the service says that it has done nothing, whatever it is can be asked again."""
    code = grpc.StatusCode[NOTHING_DONE[reason]]
    for call in ONCE.values():
        fake.calls.clear()
        fake.answers = [Refusal(code, details=[info(reason), retry_after(0.001)])]
        await call(caller)
        assert len(fake.calls) == 2


@pytest.mark.parametrize("code", FINAL)
async def test_what_is_not_asked_again(caller: Client, fake: FakeServer, code: str) -> None:
    """An answer is an answer: so is the service's word that the time was up."""
    fake.answers = [Refusal(grpc.StatusCode[code], details=[retry_after(0)])]
    with pytest.raises(errors.SessionHistoryError) as caught:
        await caller.get_session("s")
    assert caught.value.code is grpc.StatusCode[code]
    assert len(fake.calls) == 1


async def test_the_service_says_when(caller: Client, fake: FakeServer) -> None:
    """The next attempt comes no sooner than the service asks, and has the time that is left."""
    fake.answers = [Refusal(details=[retry_after(0.5)])]
    await caller.get_session("s", timeout_seconds=5)
    first, second = fake.calls
    assert second.time - first.time >= 0.5
    assert second.seconds_left < first.seconds_left - 0.25  # to gRPC's precision


async def test_no_time_for_what_the_service_asks(caller: Client, fake: FakeServer) -> None:
    """When the wait would be longer than the call may take, the answer is the error, at once."""
    fake.answers = [Refusal(details=[info("DATABASE_UNAVAILABLE"), retry_after(PATIENCE_SECONDS * 10)])]
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(errors.DatabaseUnavailableError):
            await caller.get_session("s", timeout_seconds=PATIENCE_SECONDS * 9)
    assert len(fake.calls) == 1


async def test_the_last_answer_is_raised(caller: Client, fake: FakeServer) -> None:
    """When there is no time for another attempt, the error is that of the last one, not a time-out."""
    fake.answers = [Refusal(message="first"), Refusal(message="last", details=[retry_after(60)])]
    with pytest.raises(errors.UnavailableError, match="last"):
        await caller.get_session("s")
    assert len(fake.calls) == 2


@pytest.mark.parametrize("what", [*REPEATED, *ONCE])
async def test_a_deadline_of_its_own(caller: Client, fake: FakeServer, what: str) -> None:
    """Every method takes one, for each call that it makes."""
    await (REPEATED | ONCE)[what](caller, timeout_seconds=1_000)
    (call,) = fake.calls
    assert call.seconds_left > 100


async def test_deadlines(connect: Callable[..., Client], fake: FakeServer) -> None:
    """A call may take ten seconds, or what its client says, or what it says itself."""
    await connect(fake.address).get_session("s")
    client = connect(fake.address, timeout_seconds=100)
    await client.get_session("s")
    await client.get_session("s", timeout_seconds=1_000)
    by_default, of_client, of_call = (call.seconds_left for call in fake.calls)
    assert 0 < by_default < 20 < of_client < 200 < of_call < 2_000
    fake.answers = [None]
    with pytest.raises(errors.DeadlineExceededError):
        await client.get_session("s", timeout_seconds=0.1)
    await until(lambda: fake.given_up == 1)


@pytest.mark.usefixtures("hasty")
async def test_metadata_by_a_function(connect: Callable[..., Client], fake: FakeServer) -> None:
    """It is asked anew for each attempt, so that a token can be replaced."""
    tokens = itertools.count(1)
    client = connect(fake.address, metadata=lambda: {"authorization": f"Bearer {next(tokens)}"})
    fake.answers = [Refusal()]
    await client.get_session("s")
    await client.get_session("s")
    assert [call.metadata["authorization"] for call in fake.calls] == [f"Bearer {i}" for i in (1, 2, 3)]


@pytest.mark.usefixtures("hasty")
async def test_metadata_by_a_mapping(connect: Callable[..., Client], fake: FakeServer) -> None:
    """It is sent with every attempt of every call, text and bytes."""
    client = connect(fake.address, metadata={"authorization": "Bearer x", "trace-bin": b"\0\xff"})
    fake.answers = [Refusal()]
    await client.get_session("s")
    for call in fake.calls:
        assert (call.metadata["authorization"], call.metadata["trace-bin"]) == ("Bearer x", b"\0\xff")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("no_id", [None, ""])
async def test_an_append_cannot_double(caller: Client, fake: FakeServer, no_id: Any) -> None:
    """A message and a session that were given no id are given the same one in all attempts."""
    message = Message(role=Role.USER, message_id=no_id)
    fake.answers = [Refusal()]
    await caller.append_message(no_id, message, create_session=Session(session_id=no_id))
    first, second = (call.request for call in fake.calls)
    assert first.session_id == second.session_id != ""
    assert first.message.message_id == second.message.message_id != ""
    fake.calls.clear()
    fake.answers = [Refusal()]
    await caller.append_messages(no_id, [message, message], create_session=Session())
    first, second = (call.request for call in fake.calls)
    assert first == second
    assert first.session_id
    assert len({message.message_id for message in first.messages} - {""}) == 2


@pytest.mark.usefixtures("hasty")
async def test_a_session_is_created_by_whichever_attempt(caller: Client, fake: FakeServer) -> None:
    """Without an id it is new, though it was a lost attempt that made it; with one, the service knows."""
    fake.answers = [Refusal(), pb.CreateSessionResponse(created=False)]
    assert (await caller.create_session(Session())).created
    first, second = (call.request for call in fake.calls)
    assert first.session_id == second.session_id != ""
    fake.answers = [pb.CreateSessionResponse(created=False)]
    assert not (await caller.create_session(Session(session_id="s"), allow_existing=True)).created


@pytest.mark.usefixtures("hasty")
async def test_an_active_session_is_created_by_whichever_attempt(
    caller: Client, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is new if it has the id that was made for it, though it was a lost attempt that made it."""
    monkeypatch.setattr("sessionhistory._requests.uuid.uuid4", lambda: "made")
    for asked, found, created in (("", "made", True), ("", "another", False), ("made", "made", False)):
        fake.answers = [Refusal(), pb.GetActiveSessionResponse(session={"session_id": found})]
        result = await caller.get_active_session("u", create_session=Session(session_id=asked))
        assert (result.session.session_id, result.created) == (found, created)


async def test_cancelling_a_call(connect_twin: Callable[..., Client], fake: FakeServer) -> None:
    """A task that is cancelled ends at once, and its call with it."""
    client = connect_twin("asyncio", fake.address, timeout_seconds=PATIENCE_SECONDS * 10)
    fake.answers = [None]
    call = asyncio.create_task(client.append_message("s", HELLO))
    await until(lambda: len(fake.calls) == 1)
    await cancelled(call)
    await until(lambda: fake.given_up == 1)


async def test_cancelling_between_attempts(connect_twin: Callable[..., Client], fake: FakeServer) -> None:
    """A task that waits for its next attempt ends at once, without another one."""
    client = connect_twin("asyncio", fake.address, timeout_seconds=PATIENCE_SECONDS * 10)
    fake.answers = [Refusal(details=[retry_after(PATIENCE_SECONDS * 9)])]
    call = asyncio.create_task(client.append_message("s", HELLO))
    await until(lambda: len(fake.calls) == 1)
    await cancelled(call)
    assert len(fake.calls) == 1


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task, which must end by it."""
    task.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.wait([task])
    assert task.cancelled()
