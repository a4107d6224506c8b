"""Which calls a client retries, when, and that each call keeps its own values in all attempts."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from fake_server import FakeServer, Refusal, info, retry_after

from sessionhistory import Message, Role, SessionFields, errors
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sessionhistory import AsyncSessionHistoryClient as Client

HELLO = Message(role=Role.USER, content="hello")


async def all_of(items: AsyncIterator[Any]) -> list[Any]:
    """Return all items of an iterator."""
    return [item async for item in items]


REPEATED: dict[str, Callable[..., Any]] = {
    "create, without an id": lambda c, **o: c.create_session(**o),
    "create or get": lambda c, **o: c.create_session("s", allow_existing=True, **o),
    "get": lambda c, **o: c.get_session("s", **o),
    "update": lambda c, **o: c.update_session("s", title="t", **o),
    "get active": lambda c, **o: c.get_active_session("u", **o),
    "ensure active": lambda c, **o: c.ensure_active_session("u", **o),
    "ensure active, with an id": lambda c, **o: c.ensure_active_session("u", new_session_id="s", **o),
    "update the state of a version": lambda c, **o: c.update_state("s", {}, expected_state_version=0, **o),
    "list page": lambda c, **o: c.list_sessions_page(**o),
    "list": lambda c, **o: all_of(c.list_sessions(**o)),
    "delete if there": lambda c, **o: c.delete_session("s", allow_missing=True, **o),
    "append": lambda c, **o: c.append_message("s", HELLO, **o),
    "append with state": lambda c, **o: c.append_message(
        "s", HELLO, state_patch={"a": 1}, expected_state_version=0, **o
    ),
    "append after": lambda c, **o: c.append_message("s", HELLO, expected_last_sequence=0, **o),
    "append to a new session": lambda c, **o: c.append_message(None, HELLO, new_session=SessionFields(), **o),
    "append several": lambda c, **o: c.append_messages(
        None, [HELLO, HELLO], new_session=SessionFields(), **o
    ),
    "replace": lambda c, **o: c.append_messages("s", [HELLO], keep_through_sequence=0, **o),
    "truncate as read": lambda c, **o: c.truncate_messages(
        "s", keep_through_sequence=0, expected_last_sequence=1, **o
    ),
    "fork": lambda c, **o: c.fork_session("s", **o),
    "fork or get": lambda c, **o: c.fork_session("s", new_session_id="f", allow_existing=True, **o),
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
    "create": lambda c, **o: c.create_session("s", **o),
    "update the one read": lambda c, **o: c.update_session("s", title="t", etag="e", **o),
    "update state": lambda c, **o: c.update_state("s", {"a": None}, **o),
    "delete": lambda c, **o: c.delete_session("s", **o),
    "purge": lambda c, **o: c.delete_session("s", purge=True, **o),
    "undelete": lambda c, **o: c.undelete_session("s", **o),
    "fork by id": lambda c, **o: c.fork_session("s", new_session_id="f", **o),
    "truncate": lambda c, **o: c.truncate_messages("s", keep_through_sequence=0, **o),
}
GONE = ("UNAVAILABLE", "CANCELLED")
FINAL = [code.name for code in grpc.StatusCode if code.name not in {*GONE, "OK"}]
NOTHING_DONE = {
    "POOL_EXHAUSTED": "RESOURCE_EXHAUSTED",
    "SCHEMA_OUTDATED": "UNAVAILABLE",
    "SERVER_OVERLOADED": "RESOURCE_EXHAUSTED",
    "TRANSACTION_CONFLICT": "UNAVAILABLE",
}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the waits between attempts very short."""
    monkeypatch.setattr("sessionhistory._transport.retry._FIRST_DELAY_SECONDS", 0.001)


@pytest.fixture
def caller(connect: Callable[..., Client], fake: FakeServer) -> Client:
    """A client of the fake server."""
    return connect(fake.address)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("code", GONE)
@pytest.mark.parametrize("what", REPEATED)
async def test_what_is_tried_again(caller: Client, fake: FakeServer, what: str, code: str) -> None:
    """A call that may be repeated is sent again unchanged while the service is unavailable."""
    fake.answers = [Refusal(grpc.StatusCode[code])] * 2
    await REPEATED[what](caller)
    first, second, third = (call.request for call in fake.calls)
    assert first == second == third


@pytest.mark.parametrize("code", GONE)
@pytest.mark.parametrize("what", ONCE)
async def test_what_is_asked_once(caller: Client, fake: FakeServer, what: str, code: str) -> None:
    """A call that would do more or fail if it is repeated is left to the caller."""
    fake.answers = [Refusal(grpc.StatusCode[code], details=[info("DATABASE_UNAVAILABLE"), retry_after(0)])]
    with pytest.raises(errors.DatabaseUnavailableError):
        await ONCE[what](caller)
    assert len(fake.calls) == 1


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("reason", NOTHING_DONE)
async def test_what_was_not_done_is_tried_again(caller: Client, fake: FakeServer, reason: str) -> None:
    """Any call is retried if the service says that it has done nothing."""
    code = grpc.StatusCode[NOTHING_DONE[reason]]
    for call in ONCE.values():
        fake.calls.clear()
        fake.answers = [Refusal(code, details=[info(reason), retry_after(0.001)])]
        await call(caller)
        assert len(fake.calls) == 2


@pytest.mark.parametrize("code", FINAL)
async def test_what_is_not_asked_again(caller: Client, fake: FakeServer, code: str) -> None:
    """Other errors are final, also the service's DEADLINE_EXCEEDED."""
    fake.answers = [Refusal(grpc.StatusCode[code], details=[retry_after(0)])]
    with pytest.raises(errors.SessionHistoryError) as caught:
        await caller.get_session("s")
    assert caught.value.code is grpc.StatusCode[code]
    assert len(fake.calls) == 1


async def test_a_limit_of_the_operator_is_final(caller: Client, fake: FakeServer) -> None:
    """Time frees nothing, whatever delay the service names."""
    details = [info("LIMIT_REACHED"), retry_after(0)]
    fake.answers = [Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, details=details)]
    with pytest.raises(errors.LimitReachedError):
        await caller.append_message("s", HELLO)
    assert len(fake.calls) == 1


async def test_the_service_says_when(caller: Client, fake: FakeServer) -> None:
    """A retry comes no sooner than the service asks, and has the rest of the deadline."""
    fake.answers = [Refusal(details=[retry_after(0.5)])]
    await caller.get_session("s", timeout_seconds=5)
    first, second = fake.calls
    assert second.time - first.time >= 0.5
    assert second.seconds_left < first.seconds_left - 0.25  # to gRPC's precision


async def test_no_time_for_what_the_service_asks(caller: Client, fake: FakeServer) -> None:
    """If the wait would exceed the call's deadline, the error is raised at once."""
    fake.answers = [Refusal(details=[info("DATABASE_UNAVAILABLE"), retry_after(PATIENCE_SECONDS * 10)])]
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(errors.DatabaseUnavailableError):
            await caller.get_session("s", timeout_seconds=PATIENCE_SECONDS * 9)
    assert len(fake.calls) == 1


async def test_the_last_answer_is_raised(caller: Client, fake: FakeServer) -> None:
    """Without time for another attempt the last attempt's error is raised, not a timeout."""
    fake.answers = [Refusal(message="first"), Refusal(message="last", details=[retry_after(60)])]
    with pytest.raises(errors.UnavailableError, match="last"):
        await caller.get_session("s")
    assert len(fake.calls) == 2


@pytest.mark.parametrize("what", [*REPEATED, *ONCE])
async def test_a_deadline_of_its_own(caller: Client, fake: FakeServer, what: str) -> None:
    """Every method takes a deadline, for each call that it makes."""
    await (REPEATED | ONCE)[what](caller, timeout_seconds=1_000)
    (call,) = fake.calls
    assert call.seconds_left > 100


async def test_deadlines(connect: Callable[..., Client], fake: FakeServer) -> None:
    """A call has ten seconds, or its client's deadline, or its own."""
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
    """A function is called for the metadata of each attempt, so that a token can be renewed."""
    tokens = itertools.count(1)
    client = connect(fake.address, metadata=lambda: {"authorization": f"Bearer {next(tokens)}"})
    fake.answers = [Refusal()]
    await client.get_session("s")
    await client.get_session("s")
    assert [call.metadata["authorization"] for call in fake.calls] == [f"Bearer {i}" for i in (1, 2, 3)]


@pytest.mark.usefixtures("hasty")
async def test_metadata_by_a_mapping(connect: Callable[..., Client], fake: FakeServer) -> None:
    """A mapping is sent with every attempt of every call, as text and as bytes."""
    client = connect(fake.address, metadata={"authorization": "Bearer x", "trace-bin": b"\0\xff"})
    fake.answers = [Refusal()]
    await client.get_session("s")
    for call in fake.calls:
        assert (call.metadata["authorization"], call.metadata["trace-bin"]) == ("Bearer x", b"\0\xff")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("no_id", [None, ""])
async def test_an_append_cannot_double(caller: Client, fake: FakeServer, no_id: Any) -> None:
    """A message and a session without ids get one id each, which all attempts use."""
    message = Message(role=Role.USER, message_id=no_id)
    fake.answers = [Refusal()]
    await caller.append_message(no_id, message, new_session=SessionFields())
    first, second = (call.request for call in fake.calls)
    assert first.session_id == second.session_id != ""
    assert first.message.message_id == second.message.message_id != ""
    fake.calls.clear()
    fake.answers = [Refusal()]
    await caller.append_messages(no_id, [message, message], new_session=SessionFields())
    first, second = (call.request for call in fake.calls)
    assert first == second
    assert first.session_id
    assert len({message.message_id for message in first.messages} - {""}) == 2


@pytest.mark.usefixtures("hasty")
async def test_a_session_is_created_by_whichever_attempt(caller: Client, fake: FakeServer) -> None:
    """Without an id the session counts as created, even if a lost attempt has created it.

    With an id the service's answer counts.
    """
    fake.answers = [Refusal(), pb.CreateSessionResponse(created=False)]
    assert (await caller.create_session()).created
    first, second = (call.request for call in fake.calls)
    assert first.session_id == second.session_id != ""
    fake.answers = [pb.CreateSessionResponse(created=False)]
    assert not (await caller.create_session("s", allow_existing=True)).created


@pytest.mark.usefixtures("hasty")
async def test_an_active_session_is_created_by_whichever_attempt(
    caller: Client, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session with the id that the client made counts as created, whichever attempt created it."""
    monkeypatch.setattr("sessionhistory._codec.ids.uuid.uuid4", lambda: "made")
    for asked, found, created in ((None, "made", True), (None, "another", False), ("made", "made", False)):
        fake.calls.clear()
        fake.answers = [Refusal(), pb.EnsureActiveSessionResponse(session={"session_id": found})]
        result = await caller.ensure_active_session("u", new_session_id=asked)
        assert (result.session.session_id, result.created) == (found, created)
        assert [call.request.new_session_id for call in fake.calls] == ["made"] * 2


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("copy", ["fork_session", "reset_session"])
async def test_a_copy_keeps_its_id(caller: Client, fake: FakeServer, copy: str) -> None:
    """A new session without an id gets one id, which all attempts use."""
    fake.answers = [Refusal()]
    await getattr(caller, copy)("s")
    first, second = (call.request for call in fake.calls)
    assert first == second
    assert first.new_session_id


async def test_cancelling_a_call(connect_twin: Callable[..., Client], fake: FakeServer) -> None:
    """A cancelled task ends at once, and so does its call."""
    client = connect_twin("asyncio", fake.address, timeout_seconds=PATIENCE_SECONDS * 10)
    fake.answers = [None]
    call = asyncio.create_task(client.append_message("s", HELLO))
    await until(lambda: len(fake.calls) == 1)
    await cancelled(call)
    await until(lambda: fake.given_up == 1)


async def test_cancelling_between_attempts(connect_twin: Callable[..., Client], fake: FakeServer) -> None:
    """A cancelled task that waits for its next attempt ends at once, and makes none."""
    client = connect_twin("asyncio", fake.address, timeout_seconds=PATIENCE_SECONDS * 10)
    fake.answers = [Refusal(details=[retry_after(PATIENCE_SECONDS * 9)])]
    call = asyncio.create_task(client.append_message("s", HELLO))
    await until(lambda: len(fake.calls) == 1)
    await cancelled(call)
    assert len(fake.calls) == 1


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task, which must end with the cancellation."""
    task.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.wait([task])
    assert task.cancelled()
