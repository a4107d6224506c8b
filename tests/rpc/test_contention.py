"""What one caller's transaction means for the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
from grpc_health.v1 import health_pb2
from rpc_support import append, create, said

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.store import session_update
from support.errors import fails
from support.service import NOT_SERVING, PATIENCE_SECONDS, SERVING, Service, default_settings

if TYPE_CHECKING:
    import pytest

    from sessionhistory_server.model import Session
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.sessions import SessionRef


async def test_a_locked_session_does_not_keep_the_connections(service: Service, database_url: str) -> None:
    """Appends to a row that somebody keeps locked give up, and give their connections back."""
    await create(service, "locked")
    await create(service, "free")
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("select from sessions where session_id = 'locked' for update")
        with fails("UNAVAILABLE", "TRANSACTION_CONFLICT") as failure:
            await append(service, "locked", said())
        assert failure.retry_seconds
    assert (await append(service, "locked", said())).last_sequence == 1
    assert (await append(service, "free", said())).last_sequence == 1


async def test_an_update_without_an_etag_never_mismatches(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is restored between an update and the look at why it failed is updated after all."""
    await create(service, "s")
    await service.stub.DeleteSession(pb.DeleteSessionRequest(session_id="s"))
    get = session_update.get

    async def restored_meanwhile(connection: Connection, ref: SessionRef) -> Session:
        monkeypatch.setattr(session_update, "get", get)
        await service.stub.UndeleteSession(pb.UndeleteSessionRequest(session_id="s"))
        return await get(connection, ref)

    monkeypatch.setattr(session_update, "get", restored_meanwhile)
    updated = await service.stub.UpdateSession(
        pb.UpdateSessionRequest(session={"session_id": "s", "title": "new"})
    )
    assert updated.session.title == "new"


async def test_a_stop_does_not_wait_for_those_who_watch(database_url: str) -> None:
    """A watcher is told NOT_SERVING and let go; the time for calls under way is not his."""
    settings = default_settings(grace_seconds=PATIENCE_SECONDS * 10)
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with Service.running(settings, database_url) as service:
            await service.wait_until_serving()
            watch = aiter(service.health.Watch(health_pb2.HealthCheckRequest()))
            assert (await anext(watch)).status == SERVING
            await service.app.stop()
            assert [answer.status async for answer in watch] == [NOT_SERVING]
