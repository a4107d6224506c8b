"""Calls whose deadline has passed or whose caller has gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
import pytest_asyncio

from sessionhistory.v1 import message_pb2, session_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.databases import execute
from support.errors import fails
from support.locks import locked
from support.service import PATIENCE_SECONDS, Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

    Serve = Callable[..., Awaitable[Service]]

_READ = pb.GetHistoryRequest(session_id="s")
_RUNNING = """
select count(*) from pg_stat_activity
where datname = current_database() and application_name = 'session-history'
  and state = 'active' and wait_event_type = 'Lock'
"""


class _Lock:
    """Another client of the database, which can lock the table of messages."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    def held(self) -> AbstractContextManager[None]:
        """Lock the table of messages."""
        return locked(self._database_url)

    def running(self) -> int:
        """Return how many statements of the server run now; a transaction would freeze the view."""
        ((count,),) = execute(self._database_url, _RUNNING)
        assert isinstance(count, int)
        return count


@pytest_asyncio.fixture
async def lock(service: Service, database_url: str) -> _Lock:
    """A session `s` of one message, and a lock for its table."""
    await service.stub.AppendMessage(_append("first"))
    return _Lock(database_url)


def _append(message_id: str) -> pb.AppendMessageRequest:
    message = message_pb2.Message(message_id=message_id, role=message_pb2.ROLE_USER, content=message_id)
    return pb.AppendMessageRequest(session_id="s", message=message, new_session=session_pb2.SessionFields())


async def _stored(service: Service) -> list[tuple[str, int]]:
    found = await service.stub.ListMessages(pb.ListMessagesRequest(session_id="s"))
    return [(m.message_id, m.sequence) for m in found.messages]


async def _all_connections_are_back(service: Service) -> None:
    await until(lambda: service.app.is_idle)


async def test_a_late_read_is_cancelled_in_the_database(service: Service, lock: _Lock) -> None:
    """A read past its deadline is DEADLINE_EXCEEDED, and its query is cancelled."""
    with lock.held():
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.stub.GetHistory(_READ, timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: lock.running() == 0)
    await service.stub.GetHistory(_READ)


async def test_a_read_whose_caller_has_gone_is_cancelled_in_the_database(
    service: Service, lock: _Lock
) -> None:
    """A caller that cancels frees the connection and ends the query."""
    with lock.held():
        call = service.stub.GetHistory(_READ)
        waiting = asyncio.ensure_future(call)
        await until(lambda: lock.running() == 1)
        call.cancel()
        await asyncio.wait([waiting])
        await until(lambda: lock.running() == 0)
        await _all_connections_are_back(service)


@pytest.mark.parametrize("gone", ["deadline", "cancel"])
async def test_a_late_append_is_committed(service: Service, lock: _Lock, gone: str) -> None:
    """An append that was sent to the database runs to its end; its retry returns it, stored once."""
    with lock.held():
        call = service.stub.AppendMessage(_append("late"), timeout=0.3 if gone == "deadline" else None)
        waiting = asyncio.ensure_future(call)
        await until(lambda: lock.running() == 1)
        if gone == "cancel":
            call.cancel()
        await asyncio.wait([waiting])
        expected = "DEADLINE_EXCEEDED" if gone == "deadline" else "CANCELLED"
        assert (await call.code()).name == expected
        assert lock.running() == 1
    await _all_connections_are_back(service)
    assert await _stored(service) == [("first", 1), ("late", 2)]
    answer = await service.stub.AppendMessage(_append("late"))
    assert (answer.message.sequence, answer.last_sequence) == (2, 2)
    assert await _stored(service) == [("first", 1), ("late", 2)]


async def test_a_late_append_that_was_not_sent_does_not_happen(
    serve: Serve, lock: _Lock, database_url: str
) -> None:
    """An append whose deadline passes while it waits for a connection is not stored."""
    service = await serve(database_url, pool_size=1)
    with lock.held():
        first = asyncio.ensure_future(service.stub.AppendMessage(_append("sent")))
        await until(lambda: lock.running() == 1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.stub.AppendMessage(_append("queued"), timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await first
    assert await _stored(service) == [("first", 1), ("sent", 2)]


async def test_calls_without_a_deadline_have_the_default(
    serve: Serve, lock: _Lock, database_url: str
) -> None:
    """A call without a deadline gets the configured one, and its error says so."""
    service = await serve(database_url, default_deadline_seconds=0.2)
    with lock.held():
        with fails("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"):
            await service.stub.GetHistory(_READ)
        with fails("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED") as failure:
            await service.stub.AppendMessage(_append("late"))
        assert "retry" in failure.message
    await _all_connections_are_back(service)
    assert ("late", 2) in await _stored(service)


async def test_the_callers_deadline_beats_the_default(serve: Serve, lock: _Lock, database_url: str) -> None:
    """A call with a longer deadline than the default gets it."""
    service = await serve(database_url, default_deadline_seconds=0.1)
    with lock.held():
        call = asyncio.ensure_future(service.stub.GetHistory(_READ, timeout=PATIENCE_SECONDS))
        with fails("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"):
            await service.stub.GetHistory(_READ)
        assert not call.done()
    assert (await call).history.last_sequence == 1


async def test_a_busy_pool_refuses_after_its_patience(serve: Serve, lock: _Lock, database_url: str) -> None:
    """A call that gets no connection in time is RESOURCE_EXHAUSTED, with the time to wait."""
    service = await serve(database_url, pool_size=1, pool_timeout_seconds=0.1)
    with lock.held():
        first = asyncio.ensure_future(service.stub.GetHistory(_READ))
        await until(lambda: lock.running() == 1)
        with fails("RESOURCE_EXHAUSTED", "POOL_EXHAUSTED") as failure:
            await service.stub.GetHistory(_READ)
        assert failure.retry_seconds == 1
    await first


async def test_no_connection_is_lost_to_those_who_give_up(service: Service, lock: _Lock) -> None:
    """After hundreds of late and cancelled calls, queued and running, every connection works."""
    with lock.held():
        calls = [service.stub.GetHistory(_READ, timeout=0.1 + i / 500) for i in range(200)]
        cancelled = [service.stub.GetHistory(_READ) for _ in range(50)]
        waiting = [asyncio.ensure_future(call) for call in (*calls, *cancelled)]
        await asyncio.gather(*waiting[:100], return_exceptions=True)
        for call in cancelled:
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    await _all_connections_are_back(service)
    reads = [service.stub.GetHistory(_READ, timeout=PATIENCE_SECONDS) for _ in range(64)]
    assert {answer.history.last_sequence for answer in await asyncio.gather(*reads)} == {1}


@pytest.mark.usefixtures("lock")
async def test_no_connection_is_lost_under_load(service: Service) -> None:
    """A deadline that passes at any moment, also while a connection is handed over, loses none."""
    for millis in range(1, 40):
        calls = [
            asyncio.ensure_future(service.stub.GetHistory(_READ, timeout=millis / 1_000)) for _ in range(24)
        ]
        await asyncio.wait(calls)
        for call in calls:
            call.exception()
    await _all_connections_are_back(service)
