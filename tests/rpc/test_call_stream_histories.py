"""CallStream: random calls of several sessions keep their order, whatever else writes, locks or breaks."""

from __future__ import annotations

import asyncio
import random
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest
from rpc_support import append, create, fresh_id, said, stored

from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from support.call_streams import OpenCalls, appending, reading, reason_of
from support.locks import locked_session, waiting
from support.proxy import Proxy
from support.service import connect
from support.waiting import until

if TYPE_CHECKING:
    from support.service import Service

KINDS = ["append"] * 6 + ["expecting", "repeated", "window", "read", "read", "state"]
OTHER = "another writer"
WHOLE: dict[str, Any] = {"max_messages": 100, "token_budget": 100_000}
"""Windows that show all messages of a session."""


class Call(NamedTuple):
    """A call to a session, and the content of its message, if it appends one."""

    session_id: str
    kind: str
    content: str

    def fields(self) -> dict[str, Any]:
        """Return the call as it is sent."""
        if self.kind == "read":
            return reading(self.session_id, **WHOLE)
        if self.kind == "state":
            return {"update_state": {"session_id": self.session_id, "patch": '{"a":1}'}}
        special: dict[str, dict[str, Any]] = {
            "window": {"history": WHOLE},
            "expecting": {"expected_last_sequence": 10_000},
        }
        return appending(self.session_id, self.content, message_id=self.content, **special.get(self.kind, {}))


def calls_of(chance: random.Random, session_ids: list[str], number: int) -> list[Call]:
    """Return random calls. A repeated append has the message of an earlier one of its session."""
    calls: list[Call] = []
    for index in range(number):
        session_id, kind, content = chance.choice(session_ids), chance.choice(KINDS), f"m{index}"
        earlier = [call.content for call in calls if call[:2] == (session_id, "append")]
        if kind == "repeated":
            content = chance.choice(earlier) if earlier else content
        calls.append(Call(session_id, kind, content))
    return calls


async def send(stream: OpenCalls, chance: random.Random, calls: list[Call]) -> list[int]:
    """Send calls in messages of random sizes; return their numbers."""
    numbers: list[int] = []
    while len(numbers) < len(calls):
        size = chance.choice([1, 1, 3, 8])
        some = calls[len(numbers) : len(numbers) + size]
        numbers += await stream.send(*(call.fields() for call in some))
    return numbers


def check_outcomes(calls: list[Call], outcomes: list[Any]) -> dict[str, int]:
    """Check the outcomes of all calls to one session; return the sequences of the messages."""
    sequences: dict[str, int] = {}
    for call, outcome in zip(calls, outcomes, strict=True):
        if call.kind == "expecting":
            assert reason_of(outcome) == ("ABORTED", "SEQUENCE_MISMATCH")
            continue
        assert not outcome.HasField("error"), (call, outcome)
        if call.kind in {"append", "window", "repeated"}:
            sequence = outcome.append_message.message.sequence
            if call.content not in sequences:
                assert sequence > max(sequences.values(), default=0), call
            assert sequences.setdefault(call.content, sequence) == sequence, call
        response = outcome.append_message if call.kind == "window" else outcome.get_history
        if call.kind in {"window", "read"}:
            shown = [m.content for m in response.history.messages if m.content != OTHER]
            assert shown == list(sequences), call
    return sequences


async def write(service: Service, session_ids: list[str]) -> None:
    """Append to the sessions by unary calls."""
    for session_id in session_ids * 5:
        await append(service, session_id, said(OTHER))


async def lock(chance: random.Random, url: str, session_ids: list[str], done: asyncio.Event) -> None:
    """Lock one of the sessions until a statement waits for it, a few times."""
    for _ in range(5):
        with ExitStack() as stack:
            held = locked_session(url, chance.choice(session_ids))
            await asyncio.to_thread(stack.enter_context, held)  # the service shares this event loop
            await until(lambda: done.is_set() or waiting(url))


@pytest.mark.parametrize("seed", range(3))
async def test_random_calls(service: Service, database_url: str, seed: int) -> None:
    """Appends are stored in their order without gaps; a read shows those before it, and no later one."""
    chance, done = random.Random(seed), asyncio.Event()
    session_ids = [fresh_id() for _ in range(3)]
    for session_id in session_ids:
        await create(service, session_id)
    calls = calls_of(chance, session_ids, 80)
    stream = OpenCalls(service.stub)
    async with asyncio.TaskGroup() as group:
        group.create_task(write(service, session_ids))
        group.create_task(lock(chance, database_url, session_ids, done))
        outcomes = await stream.results(await send(stream, chance, calls))
        done.set()
    assert await stream.end() == "OK"
    for session_id in session_ids:
        mine = [(call, o) for call, o in zip(calls, outcomes, strict=True) if call.session_id == session_id]
        sequences = check_outcomes([call for call, _ in mine], [outcome for _, outcome in mine])
        found = await stored(service, session_id)
        assert [message.sequence for message in found] == list(range(1, len(found) + 1))
        assert {m.content: m.sequence for m in found if m.content != OTHER} == sequences


@pytest.mark.parametrize("seed", range(4))
async def test_a_stream_that_is_cut(service: Service, seed: int) -> None:
    """Appends without an outcome are repeated over a new stream: each is stored once, in their order."""
    chance = random.Random(seed)
    session_ids = [fresh_id() for _ in range(2)]
    calls = [Call(chance.choice(session_ids), "append", f"m{index}") for index in range(60)]
    async with (
        Proxy.running(f"host=127.0.0.1 port={service.app.port}") as proxy,
        connect(f"127.0.0.1:{proxy.port}") as channel,
    ):
        stub: Any = pb_grpc.SessionHistoryServiceStub
        cut = OpenCalls(stub(channel))
        answered = chance.randrange(1, 30)
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            sending = asyncio.create_task(send(cut, chance, calls))
            await cut.until(lambda: len(cut.outcomes) >= answered)
            await proxy.cut()
            await asyncio.wait((sending,))
            sending.exception()
            await cut.rest()
        assert not [outcome for outcome in cut.outcomes.values() if outcome.HasField("error")]
        left = [call for number, call in enumerate(calls, 1) if number not in cut.outcomes]
        again = OpenCalls(service.stub)
        outcomes = await again.results(await send(again, chance, left))
        assert await again.end() == "OK"
    assert not [outcome for outcome in outcomes if outcome.HasField("error")]
    for session_id in session_ids:
        expected = [call.content for call in calls if call.session_id == session_id]
        found = await stored(service, session_id)
        assert [message.content for message in found] == expected
        assert [message.sequence for message in found] == list(range(1, len(found) + 1))
