"""What makes the calls of a client fail: a cause for each reason of the service, and some without one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc.aio
import psycopg
from client_samples import fresh_id

from sessionhistory import Message, Role, Session, SessionStatus
from sessionhistory._failures import failure
from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory_server.errors import RetryableError
from sessionhistory_server.history import SessionHistory
from sessionhistory_server.store import connecting
from support.databases import execute
from support.proxy import free_port, locked
from support.relay import relay
from support.service import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

MIB = 1024 * 1024
HELLO = Message(role=Role.USER, content="hello", message_id="m")
PINNED = [Message(role=Role.SYSTEM, pinned=True) for _ in range(65)]

RETRY_DELAY_SECONDS = PATIENCE_SECONDS * 2.0
"""What the service asks to wait here: longer than a call may take, so that the first answer is the last."""


@dataclass
class World:
    """Where calls fail: a client of a service with a session of one message, and what else can be made."""

    client: Client
    service: Service
    connect: Callable[..., Client]
    serve: Callable[..., Awaitable[Service]]
    database_url: Callable[[], str]
    patch: pytest.MonkeyPatch
    session_id: str = field(default_factory=fresh_id)

    async def prepare(self) -> None:
        """Make the session, and a service that asks to wait for long."""
        self.patch.setattr(RetryableError, "retry_delay_seconds", RETRY_DELAY_SECONDS)
        await self.client.append_message(self.session_id, HELLO, create_session=Session())

    async def move(self, **settings: Any) -> str:
        """Go to a service and a database of its own; return the database's URL."""
        url = self.database_url()
        self.service = await self.serve(url, **settings)
        self.client = self.connect(self.service.address, timeout_seconds=PATIENCE_SECONDS)
        await self.prepare()
        return url


async def bad_field(world: World) -> None:
    """A name that is too long."""
    message = Message(role=Role.USER, name="n" * 257, turn_id="\0")
    await world.client.append_messages(world.session_id, [HELLO, message])


async def bad_page_token(world: World) -> None:
    """A token of a list with other filters."""
    await world.client.append_messages(world.session_id, [Message(role=Role.USER)])
    page = await world.client.list_messages_page(world.session_id, page_size=1)
    await world.client.list_messages_page(world.session_id, page_token=page.next_page_token, descending=True)


async def malformed_request(world: World) -> None:
    """A network that changes what is sent."""
    broken = relay(world.service.address, change=lambda data: data.replace("ü".encode(), b"\xff\xff"))
    async with broken as address:
        await world.connect(address).append_message("s", Message(role=Role.USER, content="Zürich"))


async def request_too_large(world: World) -> None:
    """More than 4 MiB at once."""
    await world.client.append_message(world.session_id, Message(role=Role.USER, payload=bytes(5 * MIB)))


async def session_not_found(world: World) -> None:
    """A session that was deleted."""
    await world.client.delete_session(world.session_id)
    await world.client.get_history(world.session_id)


async def message_not_found(world: World) -> None:
    """A message that is not there."""
    await world.client.get_message(world.session_id, message_id="other")


async def session_exists(world: World) -> None:
    """An id that is taken."""
    await world.client.create_session(Session(session_id=world.session_id))


async def message_id_reused(world: World) -> None:
    """The same id for something else."""
    other = Message(role=Role.USER, content="other", message_id="m")
    await world.client.append_messages(world.session_id, [Message(role=Role.USER), other])


async def sequence_mismatch(world: World) -> None:
    """Another message has come between."""
    await world.client.append_message(world.session_id, Message(role=Role.USER), expected_last_sequence=0)


async def etag_mismatch(world: World) -> None:
    """Another change has come between."""
    read = await world.client.get_session(world.session_id)
    await world.client.update_session(world.session_id, title="changed")
    await world.client.update_session(world.session_id, title="changed again", etag=read.etag)


async def state_version_mismatch(world: World) -> None:
    """Another change of the state has come between."""
    await world.client.update_state(world.session_id, {"a": 1})
    await world.client.append_message(
        world.session_id, Message(role=Role.USER), state_patch={"a": 2}, expected_state_version=0
    )


async def state_too_large(world: World) -> None:
    """More than a state may hold."""
    for name in ("a", "b"):
        await world.client.update_state(world.session_id, {name: "x" * 150_000})


async def compaction_mismatch(world: World) -> None:
    """Another summary has come between."""
    summary = Message(role=Role.SYSTEM, content="in short")
    await world.client.compact_history(
        world.session_id, summary, through_sequence=1, expected_compacted_through_sequence=5
    )


async def session_not_active(world: World) -> None:
    """An append to a session that is over."""
    await world.client.update_session(world.session_id, status=SessionStatus.COMPLETED)
    await world.client.append_message(world.session_id, Message(role=Role.USER))


async def session_not_deleted(world: World) -> None:
    """A session that was never deleted."""
    await world.client.undelete_session(world.session_id)


async def too_many_pinned(world: World) -> None:
    """One more than can be pinned."""
    await world.client.append_messages(world.session_id, PINNED)


async def pool_exhausted(world: World) -> None:
    """Its only connection waits for somebody's lock."""
    url = await world.move(pool_size=1, pool_timeout_seconds=0.1)
    with psycopg.connect(url) as connection:
        connection.execute("select from sessions for update")
        waiting = asyncio.ensure_future(
            world.client.append_message(world.session_id, Message(role=Role.USER))
        )
        try:
            for _ in range(10_000):  # until the append has the connection
                await world.client.get_session(world.session_id)
        finally:
            connection.rollback()
            await waiting


async def database_unavailable(world: World) -> None:
    """Nobody where Postgres should be."""
    service = await world.serve("postgresql://localhost:1/none", serving=False)
    await world.connect(service.address, timeout_seconds=PATIENCE_SECONDS).append_message("s", HELLO)


async def schema_outdated(world: World) -> None:
    """A database without what the service needs."""
    url = await world.move()
    execute(url, "alter table messages rename column message_id to old_id")
    await world.client.append_message(world.session_id, Message(role=Role.USER))


async def transaction_conflict(world: World) -> None:
    """Somebody keeps the session locked for longer than the service waits for a lock."""
    _configure(world, "5s", "50ms")
    url = await world.move()
    with psycopg.connect(url) as connection:
        connection.execute("select from sessions for update")
        await world.client.append_message(world.session_id, Message(role=Role.USER))


async def server_stopping(world: World) -> None:
    """A stream that is open for longer than a stop can wait; the client itself would send it again."""
    await world.move(grace_seconds=0.5)
    header = stream_pb.AppendMessageStreamHeader(session_id=world.session_id)
    call = world.service.stub.AppendMessageStream()
    await call.write(stream_pb.AppendMessageStreamRequest(header=header))
    await call.initial_metadata()
    await world.service.app.stop()
    try:
        await call
    except grpc.aio.AioRpcError as error:
        raise failure(error) from error


async def statement_timeout(world: World) -> None:
    """A statement takes longer than the service lets any take."""
    _configure(world, "60s", "50ms")
    url = await world.move()
    with locked(url):
        await world.client.get_history(world.session_id)


async def deadline(world: World) -> None:
    """The caller's own time is up."""
    url = await world.move()
    with locked(url):
        await world.client.get_history(world.session_id, timeout_seconds=0.1)


async def internal(world: World) -> None:
    """A defect of the service."""

    async def broken(*_: object) -> None:
        raise ValueError("cannot")

    world.patch.setattr(SessionHistory, "get_session", broken)
    await world.client.get_session(world.session_id)


async def over_the_limit_of_grpc(world: World) -> None:
    """More than the service would even read."""
    await world.client.append_message(world.session_id, Message(role=Role.USER, payload=bytes(33 * MIB)))


async def nobody_there(world: World) -> None:
    """A port at which nobody listens."""
    await world.connect(f"127.0.0.1:{free_port()}").delete_session("s")


async def another_service(world: World) -> None:
    """A gRPC server that serves something else."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        await world.connect(f"127.0.0.1:{port}").get_session("s")
    finally:
        await server.stop(None)


def _configure(world: World, before: str, after: str) -> None:
    """Change a limit of the connections that are made from now on."""
    configured = connecting._CONFIGURE.replace(f"'{before}'", f"'{after}'")  # noqa: SLF001 - it is no setting
    world.patch.setattr(connecting, "_CONFIGURE", configured)
