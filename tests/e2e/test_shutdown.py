"""The start and the stop of the server in the test's process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from sessionhistory.v1 import message_pb2, session_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.app import App
from sessionhistory_server.config import Address
from sessionhistory_server.listening import ListenError
from sessionhistory_server.store.postgres.monitor import Monitor
from support.databases import execute
from support.locks import locked
from support.service import NOT_SERVING, PATIENCE_SECONDS, SERVING, Service, connect, default_settings
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Serve = Callable[..., Awaitable[Service]]

_CHECK = health_pb2.HealthCheckRequest()
_GET = pb.GetSessionRequest(session_id="s")
_WAITING = """
select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""


def _append(message_id: str) -> pb.AppendMessageRequest:
    message = message_pb2.Message(message_id=message_id, role=message_pb2.ROLE_USER, content=message_id)
    return pb.AppendMessageRequest(session_id="s", message=message, new_session=session_pb2.SessionFields())


async def _code(call: Awaitable[object]) -> grpc.StatusCode:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await call
    except grpc.aio.AioRpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


async def _late(service: Service) -> grpc.StatusCode:
    """Return the code of a call on a new connection, which must not take all of the grace."""
    async with connect(service.address) as channel:
        late = Service(service.app, channel)
        return await _code(late.stub.GetSession(_GET, timeout=1))


async def _under_way(service: Service, database_url: str, call: Any) -> asyncio.Future[Any]:
    """Return a call once the database runs its statement."""
    future = asyncio.ensure_future(call)
    await until(lambda: service.pool_stats["pool_available"] == 7)
    await until(lambda: execute(database_url, _WAITING) == [(1,)])
    return future


async def test_calls_under_way_finish_when_the_server_stops(service: Service, database_url: str) -> None:
    """A stop waits for a running append, which is committed and answered, and refuses new calls."""
    await service.stub.AppendMessage(_append("first"))
    with locked(database_url):
        call = await _under_way(service, database_url, service.stub.AppendMessage(_append("second")))
        stopping = asyncio.create_task(service.app.stop())
        codes = [grpc.StatusCode.OK]
        while codes[-1] is not grpc.StatusCode.UNAVAILABLE:
            codes.append(await _late(service))
        # gRPC itself cancels the call that comes at the moment of the stop, or connects it and lets it wait.
        assert {code.name for code in codes} <= {"OK", "CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE"}
        assert codes.count(grpc.StatusCode.CANCELLED) <= 1
        assert not call.done()
    assert (await call).message.sequence == 2
    await stopping


async def test_an_append_that_outlasts_the_grace_is_committed(serve: Serve, database_url: str) -> None:
    """A stop waits for a write in the database, even after it has given up its caller."""
    service = await serve(database_url, grace_seconds=0.1)
    await service.stub.AppendMessage(_append("first"))
    with locked(database_url):
        call = await _under_way(service, database_url, service.stub.AppendMessage(_append("second")))
        stopping = asyncio.create_task(service.app.stop())
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await call
        assert not stopping.done()
    await stopping
    assert execute(database_url, "select message_id from messages order by sequence") == [
        ("first",),
        ("second",),
    ]


async def test_the_server_drains_before_it_stops(service: Service) -> None:
    """During the drain health is NOT_SERVING, and every call is still answered."""
    stopping = asyncio.create_task(service.app.stop(drain_seconds=1))
    await service.wait_until_serving(NOT_SERVING)
    answer = await service.stub.AppendMessage(_append("during"))
    assert answer.message.sequence == 1
    assert (await service.health.Check(_CHECK)).status == NOT_SERVING
    assert not stopping.done()
    await stopping


async def test_a_database_that_comes_back_does_not_end_the_drain(service: Service) -> None:
    """During the drain a database that comes back does not make health SERVING."""
    stopping = asyncio.create_task(service.app.stop(drain_seconds=1))
    await service.wait_until_serving(NOT_SERVING)
    await service.app._health.set_serving(reads=True, writes=True)  # noqa: SLF001 - as the monitor would
    assert (await service.health.Check(_CHECK)).status == NOT_SERVING
    await stopping


async def test_the_server_is_not_serving_before_its_database_is_asked(
    serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Health is NOT_SERVING from the start, never SERVING or unknown."""
    asked = asyncio.Event()
    run = Monitor.run

    async def later(monitor: Monitor) -> None:
        await asked.wait()
        await run(monitor)

    monkeypatch.setattr(Monitor, "run", later)
    service = await serve(database_url, serving=False)
    assert (await service.health.Check(_CHECK)).status == NOT_SERVING
    asked.set()
    await service.wait_until_serving(SERVING)


async def test_background_work_stops_though_it_swallows_a_cancellation(
    serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop does not depend on a single cancellation, which Python 3.11 may lose."""
    swallowed = 0

    async def stubborn(_monitor: Monitor) -> None:
        nonlocal swallowed
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            swallowed += 1
        await asyncio.sleep(3_600)

    monkeypatch.setattr(Monitor, "run", stubborn)
    service = await serve(database_url, serving=False)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await service.app.stop()
    assert swallowed == 1


@pytest.mark.parametrize("setting", ["listen", "metrics_listen"])
async def test_a_port_in_use_is_named(serve: Serve, database_url: str, setting: str) -> None:
    """A second server on one port is refused with the address, and leaves nothing behind."""
    taken = await serve(database_url)
    address = Address("127.0.0.1", taken.app.port)
    app = App(default_settings(**{setting: address}), database_url)
    with pytest.raises(ListenError, match=rf"cannot serve \S+ on 127\.0\.0\.1:{taken.app.port}"):
        await app.start()
    await taken.stub.AppendMessage(_append("m"))


async def test_an_address_that_is_not_ours_is_named(database_url: str) -> None:
    """An address of another machine is refused with a clear error."""
    app = App(default_settings(listen=Address("192.0.2.1", 50051)), database_url)
    with pytest.raises(ListenError, match=r"cannot serve gRPC on 192\.0\.2\.1:50051"):
        await app.start()
