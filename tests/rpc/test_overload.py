"""A worker with more calls than it can execute: it refuses calls early, and tenants take turns."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2
from rpc_support import append, create, said, stored
from stream_support import KEEP, begin, finish, header, stream, text

from sessionhistory.v1 import credentials_service_pb2 as credentials_pb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.rpc.load import control, turns
from sessionhistory_server.rpc.load.turns import Width
from support.call_streams import OpenCalls, made, reading, reason_of
from support.errors import fails
from support.keys import credentials, holder, holding, make_key
from support.locks import locked_session, waiting
from support.service import SERVING, Service, connect
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Serve = Callable[..., Awaitable[Service]]

_NEVER = 1e6


async def _until_idle(service: Service) -> None:
    await until(lambda: service.app._load.is_idle)  # noqa: SLF001 - only tests ask


def _in_progress(service: Service) -> int:
    return service.app._load._calls.total  # noqa: SLF001 - only tests ask


async def test_calls_above_the_bound_are_refused(serve: Serve, database_url: str) -> None:
    """The call after the last one that has room is refused at once, and nothing of it is stored."""
    service = await serve(database_url, max_concurrent_calls=4)
    await create(service, "locked")
    await create(service, "free")
    with locked_session(database_url, "locked"):
        calls = [asyncio.ensure_future(append(service, "locked", said())) for _ in range(4)]
        await until(lambda: _in_progress(service) == 4)
        with fails("RESOURCE_EXHAUSTED", "SERVER_OVERLOADED") as refused:
            await append(service, "free", said())
        assert refused.retry_seconds
        answer = await service.health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == SERVING
    assert len(await asyncio.gather(*calls)) == 4
    assert not await stored(service, "free")
    await _until_idle(service)


async def test_operators_and_other_tenants_are_let_in(serve: Serve, database_url: str) -> None:
    """A tenant that fills the worker leaves the reserve to others, and keys can be managed."""
    service = await serve(database_url, auth=("keys",), max_concurrent_calls=4)
    flood, other = await holder(service), await holder(service, tenant="other")
    await create(flood, "locked")
    with locked_session(database_url, "locked"):
        calls = [asyncio.ensure_future(append(flood, "locked", said())) for _ in range(4)]
        await until(lambda: _in_progress(service) == 4)
        with fails("RESOURCE_EXHAUSTED", "SERVER_OVERLOADED"):
            await create(flood, "more")
        await create(other, "mine")
        admin = credentials(service, (await make_key(service))[1])
        assert (await admin.ListApiKeys(credentials_pb.ListApiKeysRequest())).api_keys
    await asyncio.gather(*calls)
    await _until_idle(service)


async def test_a_flood_of_changes_of_keys_leaves_health_and_others_room(
    serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant that fills the bound of such calls uses few connections, and no place of health."""
    monkeypatch.setattr(control, "_VITAL_CALLS", 10)
    monkeypatch.setattr(turns, "SLOW_SECONDS", _NEVER)
    service = await serve(database_url, auth=("keys",))
    flood = credentials(service, (await make_key(service, tenant="flood"))[1])
    other = credentials(service, (await make_key(service, tenant="other"))[1])
    await flood.ListApiKeys(credentials_pb.ListApiKeysRequest())
    await other.ListApiKeys(credentials_pb.ListApiKeysRequest())
    new = credentials_pb.CreateApiKeyRequest(api_key={"scopes": ["SCOPE_READ"]})
    load = service.app._load  # noqa: SLF001 - only tests ask
    with psycopg.connect(database_url) as connection:
        connection.execute("select from credential_state for update")
        calls = [asyncio.ensure_future(flood.CreateApiKey(new)) for _ in range(10)]
        await until(lambda: load._key_calls.total == 10)  # noqa: SLF001
        with fails("RESOURCE_EXHAUSTED", "SERVER_OVERLOADED"):
            await flood.CreateApiKey(new)
        assert waiting(database_url) <= control.KEY_WIDTH.alone
        assert (await service.health.Check(health_pb2.HealthCheckRequest())).status == SERVING
        assert (await other.ListApiKeys(credentials_pb.ListApiKeysRequest())).api_keys
    assert len(await asyncio.gather(*calls)) == 10
    await _until_idle(service)


async def test_a_call_waits_for_its_turn_for_a_limited_time(
    serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that is not begun in time is refused; the next one after the wait is executed."""
    monkeypatch.setattr(control, "WIDTH", Width(alone=1, shared=1, of_tenant=1))
    monkeypatch.setattr(turns, "SLOW_SECONDS", _NEVER)
    service = await serve(database_url, pool_timeout_seconds=0.3)
    await create(service, "locked")
    with locked_session(database_url, "locked"):
        blocking = asyncio.ensure_future(append(service, "locked", said()))
        await until(lambda: waiting(database_url))
        with fails("RESOURCE_EXHAUSTED", "SERVER_OVERLOADED"):
            await create(service, "other")
    await blocking
    await create(service, "other")
    await _until_idle(service)


async def test_writes_that_wait_for_a_session_leave_their_turns(
    serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the writes to a locked session only those in the database have places."""
    monkeypatch.setattr(control, "WIDTH", Width(alone=3, shared=3, of_tenant=3))
    monkeypatch.setattr(turns, "SLOW_SECONDS", _NEVER)
    service = await serve(database_url, coalesce=False, pool_size=4)
    await create(service, "locked")
    await create(service, "free")
    with locked_session(database_url, "locked"):
        calls = [asyncio.ensure_future(append(service, "locked", said())) for _ in range(10)]
        await until(lambda: waiting(database_url) == 2)
        for _ in range(3):
            await append(service, "free", said())
    await asyncio.gather(*calls)
    await _until_idle(service)


async def test_slow_calls_do_not_hold_up_others(
    serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Appends in a shared statement that meets a lock leave their places after a moment."""
    monkeypatch.setattr(control, "WIDTH", Width(alone=2, shared=2, of_tenant=2))
    service = await serve(database_url)
    await create(service, "locked")
    await create(service, "free")
    with locked_session(database_url, "locked"):
        calls = [asyncio.ensure_future(append(service, "locked", said())) for _ in range(4)]
        await until(lambda: waiting(database_url))
        await append(service, "free", said())
        assert not any(call.done() for call in calls)
    await asyncio.gather(*calls)
    await _until_idle(service)


async def test_open_streams_are_bounded_and_hold_no_turn(
    serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that waits for pieces holds up no call, and one that ends leaves its place to another."""
    monkeypatch.setattr(control, "WIDTH", Width(alone=1, shared=1, of_tenant=1))
    monkeypatch.setattr(turns, "SLOW_SECONDS", _NEVER)
    service = await serve(database_url, max_streams=2)
    await create(service, "s")
    first = await begin(service, header(message_id="1"))
    second = await begin(service, header(message_id="2"))
    await append(service, "s", said())
    with fails("RESOURCE_EXHAUSTED", "SERVER_OVERLOADED"):
        await stream(service, header(message_id="3"), finish())
    await first.write(text("done"))
    await first.write(finish())
    await first
    third = await begin(service, header(message_id="3"))
    second.cancel()
    third.cancel()
    await _until_idle(service)


async def test_calls_of_a_stream_take_turns(
    serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for its own turn, and counts as a call. The stream counts as a stream."""
    monkeypatch.setattr(control, "WIDTH", Width(alone=1, shared=1, of_tenant=1))
    service = await serve(database_url, max_concurrent_calls=8, max_streams=1)
    await create(service, "s")
    outcomes = await made(service.stub, *[reading("s")] * 12)
    assert [outcome.HasField("error") for outcome in outcomes] == [False] * 8 + [True] * 4
    assert {reason_of(outcome) for outcome in outcomes[8:]} == {("RESOURCE_EXHAUSTED", "SERVER_OVERLOADED")}
    await _until_idle(service)


async def test_streams_of_calls_are_bounded(serve: Serve, database_url: str) -> None:
    """A stream too many is refused as a whole."""
    service = await serve(database_url, max_streams=1)
    first = OpenCalls(service.stub)
    await first.make(reading("s"))
    second = OpenCalls(service.stub)
    await second.send(reading("s"))
    with fails("RESOURCE_EXHAUSTED", "SERVER_OVERLOADED"):
        await second.read()
    assert await first.end() == "OK"
    await _until_idle(service)


async def test_nothing_is_left_of_calls_however_they_end(
    serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that fail, expire, are cancelled or lose their connection give up their places."""
    monkeypatch.setattr(control, "WIDTH", Width(alone=2, shared=2, of_tenant=1))
    service = await serve(database_url, auth=("keys",), max_concurrent_calls=60, pool_timeout_seconds=1)
    secrets = [(await make_key(service, tenant=tenant))[1] for tenant in ("a", "b")]
    for secret in secrets:
        await create(holding(service, secret), "s")
    async with AsyncExitStack() as stack:
        for number in range(8):
            channel = await stack.enter_async_context(connect(service.address))
            caller = Service(service.app, channel)
            calls = [
                _some_call(holding(caller, secrets[each % 2]), each) for each in range(number, number + 24)
            ]
            tasks = [asyncio.ensure_future(call) for call in calls]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks[::3]:
                task.cancel()
            if number % 2:
                await channel.close(None)
            await asyncio.gather(*tasks, return_exceptions=True)
    await _until_idle(service)
    for secret in secrets:
        await append(holding(service, secret), "s", said())


async def _some_call(service: Service, number: int) -> None:
    match number % 6:
        case 0:
            await append(service, "s", said())
        case 1:
            await append(service, "missing", said())
        case 2:
            request = pb.AppendMessagesRequest(session_id="s", messages=[said()])
            await service.stub.AppendMessages(request, timeout=0.001 * number)
        case 3:
            pieces = (header(message_id=str(number), on_break=KEEP), text("part"))
            await stream(service, *pieces, timeout=0.01 * number)
        case 4:
            stream_of_calls = OpenCalls(service.stub, timeout=0.01 * number)
            await stream_of_calls.make(*[reading("s")] * 5)
        case _:
            await service.stub.GetSession(pb.GetSessionRequest(), wait_for_ready=False)


async def test_a_refused_call_is_counted(serve: Serve, database_url: str) -> None:
    """The metrics show refused calls by reason, without the tenant."""
    service = await serve(database_url, max_streams=1)
    await create(service, "s")
    first = await begin(service, header())
    with pytest.raises(grpc.aio.AioRpcError):
        await stream(service, header(), finish())
    totals = service.app.metrics.totals()
    assert totals.refused_calls == {"RATE_LIMITED": 0, "SERVER_OVERLOADED": 1, "STREAM_FULL": 0}
    assert totals.waiting_calls == 0
    first.cancel()
    await _until_idle(service)
