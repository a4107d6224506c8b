"""Postgres goes away and comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio

import sessionhistory_migrations as migrations
from sessionhistory.v1 import message_pb2, session_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server import embedded
from sessionhistory_server.store.postgres import database
from support.errors import fails, failure_of
from support.proxy import Proxy, terminate_all
from support.service import NOT_SERVING, PATIENCE_SECONDS, SERVING, Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Serve = Callable[..., Awaitable[Service]]

# One probe a second, and the attempts of the pool before it is closed.
_HANDFUL = 40


@pytest_asyncio.fixture
async def proxied(serve: Serve, proxy: Proxy) -> Service:
    """A service behind the proxy, with a session `s` of one message."""
    service = await serve(proxy.url)
    await service.stub.AppendMessage(_append("first"))
    return service


def _append(message_id: str, session_id: str = "s") -> pb.AppendMessageRequest:
    message = message_pb2.Message(message_id=message_id, role=message_pb2.ROLE_USER, content=message_id)
    return pb.AppendMessageRequest(
        session_id=session_id, message=message, new_session=session_pb2.SessionFields()
    )


async def _outcome(call: Awaitable[Any]) -> str:
    """Return a call's code and reason, or ``OK``; the call must not hang."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await call
    except grpc.aio.AioRpcError as error:
        failure = failure_of(error)
        return f"{error.code().name} {failure.reason} {failure.retry_seconds}"
    return "OK"


_GONE = "UNAVAILABLE DATABASE_UNAVAILABLE 1.0"


async def _all_work(service: Service) -> None:
    """Wait until the service serves, then use every connection of its pool."""
    await service.wait_until_serving()
    assert await _outcomes(service) == {"OK"}


async def _all_replaced(service: Service) -> None:
    """Wait until the pool has replaced every connection, then use all of them."""

    def replaced() -> bool:
        stats = service.pool_stats
        lost = stats.get("connections_lost", 0) + stats.get("returns_bad", 0)
        return lost >= 8 and stats["pool_available"] == 8

    await until(replaced)
    assert await _outcomes(service) == {"OK"}


async def _outcomes(service: Service) -> set[str]:
    read = pb.GetHistoryRequest(session_id="s")
    return set(await asyncio.gather(*[_outcome(service.stub.GetHistory(read)) for _ in range(64)]))


@pytest.mark.parametrize("how", ["refuse", "vanish"])
async def test_an_outage_refuses_calls_and_ends_by_itself(proxied: Service, proxy: Proxy, how: str) -> None:
    """Calls are UNAVAILABLE and health is NOT_SERVING; both recover with the database, without a restart."""
    await getattr(proxy, how)()
    assert await _outcome(proxied.stub.AppendMessage(_append("lost"))) == _GONE
    await proxied.wait_until_serving(NOT_SERVING)
    reads = [proxied.stub.GetHistory(pb.GetHistoryRequest(session_id="s")) for _ in range(100)]
    assert set(await asyncio.gather(*map(_outcome, reads))) == {_GONE}
    proxy.heal()
    if how == "vanish":
        await proxy.listen()
    await _all_work(proxied)
    found = await proxied.stub.ListMessages(pb.ListMessagesRequest(session_id="s"))
    assert [m.message_id for m in found.messages] == ["first"]


async def test_no_stampede(proxied: Service, proxy: Proxy) -> None:
    """However many calls come during an outage, there are only a few attempts to connect."""
    await proxy.refuse()
    before = proxy.attempts
    for _ in range(10):
        appends = [proxied.stub.AppendMessage(_append(f"a{i}")) for i in range(50)]
        assert set(await asyncio.gather(*map(_outcome, appends))) == {_GONE}
    assert proxy.attempts - before < _HANDFUL
    proxy.heal()
    await _all_work(proxied)


async def test_cut_connections_are_replaced(proxied: Service, proxy: Proxy) -> None:
    """If every connection is cut once, a retry after the advised delay succeeds at the latest."""
    await proxy.cut()
    outcomes = await asyncio.gather(
        *[_outcome(proxied.stub.AppendMessage(_append(f"m{i}"))) for i in range(64)]
    )
    assert set(outcomes) <= {"OK", _GONE}
    await _all_replaced(proxied)


async def test_terminated_backends_are_replaced(proxied: Service, database_url: str) -> None:
    """If every backend is terminated, calls fail as UNAVAILABLE at worst, and soon succeed again."""
    assert terminate_all(database_url) >= 8
    outcomes = await asyncio.gather(
        *[_outcome(proxied.stub.AppendMessage(_append(f"m{i}"))) for i in range(64)]
    )
    assert set(outcomes) <= {"OK", _GONE}
    await _all_replaced(proxied)


async def test_postgres_is_stopped_and_started(serve: Serve, tmp_path: Path) -> None:
    """The service recovers from a restart of Postgres as from any outage."""
    with embedded.running(tmp_path / "data") as url:
        migrations.upgrade(url)
        proxy = Proxy(url)
        await proxy.listen()
        service = await serve(proxy.url)
        await service.stub.AppendMessage(_append("first"))
    await service.wait_until_serving(NOT_SERVING)
    assert await _outcome(service.stub.AppendMessage(_append("lost"))) == _GONE
    with embedded.running(tmp_path / "data") as url:
        proxy.lead_to(url)
        await _all_work(service)
        answer = await service.stub.AppendMessage(_append("second"))
        assert answer.last_sequence == 2
        await service.app.stop()
        await proxy.vanish()


async def test_callers_that_wait_for_a_connection_are_failed_too(
    serve: Serve, proxied: Service, proxy: Proxy
) -> None:
    """If the database is lost, running and queued calls fail long before their deadline."""
    alone = await serve(proxy.url, coalesce=False)
    proxy.stall()
    calls = [
        asyncio.create_task(_outcome(service.stub.AppendMessage(_append(f"m{i}", f"s{i}"), timeout=600)))
        for service in (proxied, alone)
        for i in range(60)
    ]
    await until(lambda: alone.pool_stats["requests_waiting"] == 52)
    await until(
        lambda: proxied.pool_stats["pool_available"] < 7
    )  # others wait behind a statement, to share the next
    await proxy.refuse()
    assert set(await asyncio.gather(*calls)) == {_GONE}


async def test_a_database_that_says_nothing_is_lost(proxied: Service, proxy: Proxy) -> None:
    """If a database keeps its connections and answers nothing, no call hangs and health says so.

    The service recovers.
    """
    proxy.stall()
    calls = [
        asyncio.create_task(_outcome(proxied.stub.AppendMessage(_append(f"m{i}"), timeout=600)))
        for i in range(100)
    ]
    await proxied.wait_until_serving(NOT_SERVING)
    assert set(await asyncio.gather(*calls)) <= {_GONE, "RESOURCE_EXHAUSTED POOL_EXHAUSTED 1.0"}
    proxy.heal()
    await _all_work(proxied)


async def test_a_stalled_database_does_not_hold_up_the_stop(
    serve: Serve, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop waits for a write no longer than the database's time limit for it."""
    monkeypatch.setattr(database, "STATEMENT_TIMEOUT_SECONDS", 0.1)
    service = await serve(proxy.url, grace_seconds=0.1)
    proxy.stall()
    call = asyncio.create_task(_outcome(service.stub.AppendMessage(_append("m"), timeout=600)))
    await until(lambda: service.pool_stats["pool_available"] == 7)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await service.app.stop()
    assert await call != "OK"


async def test_nothing_acknowledged_is_lost_or_doubled(serve: Serve, proxy: Proxy) -> None:
    """Appends that are retried by their ids through repeated cuts are stored once each, without a gap."""
    service = await serve(proxy.url)
    sequences: dict[str, int] = {}
    failures: set[str] = set()

    async def append(message_id: str) -> None:
        while message_id not in sequences:
            try:
                answer = await service.stub.AppendMessage(_append(message_id), timeout=PATIENCE_SECONDS)
                sequences[message_id] = answer.message.sequence
            except grpc.aio.AioRpcError as error:
                failures.add(error.code().name)
                await asyncio.sleep(0.02)

    async def write(writer: int) -> None:
        for index in range(20):
            await append(f"{writer}-{index}")

    writers = asyncio.gather(*[write(writer) for writer in range(16)])
    for stored in (40, 100, 160, 220, 280):
        await until(lambda stored=stored: len(sequences) >= stored)
        await proxy.cut()
    await writers
    assert failures <= {"UNAVAILABLE"}
    found = await service.stub.ListMessages(pb.ListMessagesRequest(session_id="s", page_size=1_000))
    assert {m.message_id: m.sequence for m in found.messages} == sequences
    assert [m.sequence for m in found.messages] == list(range(1, 321))


async def test_a_server_may_start_before_its_database(serve: Serve, proxy: Proxy) -> None:
    """Without a database the server starts, is NOT_SERVING and refuses calls; later it serves."""
    await proxy.vanish()
    service = await serve(proxy.url, serving=False)
    await service.wait_until_serving(NOT_SERVING)
    with fails("UNAVAILABLE", "DATABASE_UNAVAILABLE") as failure:
        await service.stub.AppendMessage(_append("m"))
    assert failure.retry_seconds == 1
    await proxy.listen()
    await service.wait_until_serving(SERVING)
    await service.stub.AppendMessage(_append("m"))
