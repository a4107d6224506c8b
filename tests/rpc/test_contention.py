"""The effects of one caller's transaction on other callers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from rpc_support import append, create, said, stored, update

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.store.postgres.connect import LOCK_TIMEOUT_SECONDS
from sessionhistory_server.store.sessions import update as session_update
from support.errors import fails
from support.locks import locked_session, waiting
from support.service import NOT_SERVING, PATIENCE_SECONDS, SERVING, Service, default_settings
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.model.session import Session
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.session_ref import SessionRef


async def test_a_locked_session_does_not_keep_the_connections(service: Service, database_url: str) -> None:
    """Appends to a row that another transaction locks time out, and give their connections back."""
    await create(service, "locked")
    await create(service, "free")
    with locked_session(database_url, "locked"):
        with fails("UNAVAILABLE", "TRANSACTION_CONFLICT") as failure:
            await append(service, "locked", said())
        assert failure.retry_seconds
    assert (await append(service, "locked", said())).last_sequence == 1
    assert (await append(service, "free", said())).last_sequence == 1


@pytest.mark.parametrize("coalesce", [True, False])
async def test_a_locked_session_does_not_slow_its_neighbours(
    serve: Callable[..., Awaitable[Service]], database_url: str, *, coalesce: bool
) -> None:
    """Of many writes to a locked session two wait in the database; other sessions find free connections.

    If the sessions are distributed, appends to one session share one transaction after the other.
    """
    service = await serve(database_url, pool_size=4, coalesce=coalesce)
    stuck = 1 if service.is_distributed and coalesce else 2
    await create(service, "locked")
    await create(service, "free")
    with locked_session(database_url, "locked"):
        calls = [asyncio.ensure_future(append(service, "locked", said())) for _ in range(30)]
        await until(lambda: waiting(database_url, longer_than_millis=300) == stuck)
        for sequence in range(1, 21):
            assert (await append(service, "free", said())).last_sequence == sequence
            await update(service, "free", title=str(sequence))
        assert waiting(database_url) == stuck
        assert not service.pool_stats["requests_waiting"]
        assert not any(call.done() for call in calls)
    answers = await asyncio.gather(*calls)
    assert sorted(answer.last_sequence for answer in answers) == list(range(1, 31))


@pytest.mark.parametrize("coalesce", [True, False])
async def test_a_write_that_waits_for_a_lock_gives_up_with_its_caller(
    serve: Callable[..., Awaitable[Service]], database_url: str, *, coalesce: bool
) -> None:
    """A write without a lock gives its connection back when its caller's deadline passes.

    If the sessions are distributed, a wait for a lock has the same limit for all callers.
    """
    service = await serve(database_url, coalesce=coalesce)
    patience = LOCK_TIMEOUT_SECONDS * (2 if service.is_distributed else 0.5)
    await create(service, "locked")
    with locked_session(database_url, "locked"):
        request = pb.AppendMessageRequest(session_id="locked", message=said())
        with pytest.raises(grpc.aio.AioRpcError, match="DEADLINE_EXCEEDED"):
            await service.stub.AppendMessage(request, timeout=0.6)
        await until(lambda: not waiting(database_url), patience_seconds=patience)
    assert await stored(service, "locked") == []


async def test_an_update_without_an_etag_never_mismatches(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is restored while an update looks for the reason of its failure is updated."""
    await create(service, "s")
    await service.stub.DeleteSession(pb.DeleteSessionRequest(session_id="s"))
    get = session_update.get

    async def restored_meanwhile(connection: Connection, ref: SessionRef) -> Session:
        monkeypatch.setattr(session_update, "get", get)
        await service.stub.UndeleteSession(pb.UndeleteSessionRequest(session_id="s"))
        return await get(connection, ref)

    monkeypatch.setattr(session_update, "get", restored_meanwhile)
    updated = await service.stub.UpdateSession(
        pb.UpdateSessionRequest(session_id="s", session={"title": "new"})
    )
    assert updated.session.title == "new"


async def test_a_stop_does_not_wait_for_those_who_watch(database_url: str) -> None:
    """A stop tells a health watcher NOT_SERVING and ends the watch at once, without the grace period."""
    settings = default_settings(grace_seconds=PATIENCE_SECONDS * 10)
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with Service.running(settings, database_url) as service:
            await service.wait_until_serving()
            watch = aiter(service.health.Watch(health_pb2.HealthCheckRequest()))
            assert (await anext(watch)).status == SERVING
            await service.app.stop()
            assert [answer.status async for answer in watch] == [NOT_SERVING]
