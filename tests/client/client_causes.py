"""Causes of a client's errors: one for each reason of the service, and some without a reason."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc.aio
import psycopg
from client_samples import fresh_id

from sessionhistory import Message, Role, Scope, SessionFields, SessionStatus
from sessionhistory._transport.failures import failure
from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory_server.errors import RetryableError
from sessionhistory_server.rpc.load import rate_limits
from sessionhistory_server.rpc.peers.watcher import PeerWatcher
from sessionhistory_server.store import api_keys, refused_tokens
from sessionhistory_server.store.postgres import connect as connecting
from sessionhistory_server.usecases.sessions import Sessions
from support.databases import execute
from support.keys import make_key, register
from support.limits import limit, write_counts
from support.locks import locked
from support.proxy import free_port
from support.relay import relay
from support.service import PATIENCE_SECONDS
from support.tokens import IssuerKey, jwt_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

    from sessionhistory import AsyncSessionHistoryClient as Client
    from sessionhistory_server.rpc.peers.connection import Exchange
    from support.service import Service

MIB = 1024 * 1024
HELLO = Message(role=Role.USER, content="hello", message_id="m")
PINNED = [Message(role=Role.SYSTEM, pinned=True) for _ in range(65)]

RETRY_DELAY_SECONDS = PATIENCE_SECONDS * 2.0
"""The delay that the service asks for: longer than a call may take, so that the client does not retry."""


@dataclass
class World:
    """A client of a service with a session of one message; a cause can start other services and databases."""

    client: Client
    service: Service
    connect: Callable[..., Client]
    serve: Callable[..., Awaitable[Service]]
    database_url: Callable[[], str]
    patch: pytest.MonkeyPatch
    session_id: str = field(default_factory=fresh_id)

    async def prepare(self) -> None:
        """Create the session, and let the service ask for a longer retry delay than a call may take."""
        self.patch.setattr(RetryableError, "retry_delay_seconds", RETRY_DELAY_SECONDS)
        await self.client.append_message(self.session_id, HELLO, new_session=SessionFields())

    async def move(self, **settings: Any) -> str:
        """Start a service on a database of its own and use it; return the database's URL."""
        url = self.database_url()
        self.service = await self.serve(url, **settings)
        self.client = self.connect(self.service.address, timeout_seconds=PATIENCE_SECONDS)
        await self.prepare()
        return url


async def bad_field(world: World) -> None:
    """Append a message with a name that is too long."""
    message = Message(role=Role.USER, name="n" * 257, turn_id="\0")
    await world.client.append_messages(world.session_id, [HELLO, message])


async def bad_page_token(world: World) -> None:
    """Use a page token with other filters."""
    await world.client.append_messages(world.session_id, [Message(role=Role.USER)])
    page = await world.client.list_messages_page(world.session_id, page_size=1)
    await world.client.list_messages_page(
        world.session_id, page_token=page.next_page_token, roles=[Role.USER]
    )


async def malformed_request(world: World) -> None:
    """Change the request on its way to the service."""
    broken = relay(world.service.address, change=lambda data: data.replace("ü".encode(), b"\xff\xff"))
    async with broken as address:
        await world.connect(address).append_message("s", Message(role=Role.USER, content="Zürich"))


async def request_too_large(world: World) -> None:
    """Send more than 4 MiB in one request."""
    await world.client.append_message(world.session_id, Message(role=Role.USER, payload=bytes(5 * MIB)))


async def too_many_refused_tokens(world: World) -> None:
    """Refuse a token above the limit."""
    client = await _guarded(world)
    world.patch.setattr(refused_tokens, "MAX_REFUSED_TOKENS", 0)
    await client.refuse_token("id", expire_time=datetime.now(UTC) + timedelta(days=1))


async def session_not_found(world: World) -> None:
    """Read a session that was deleted."""
    await world.client.delete_session(world.session_id)
    await world.client.get_history(world.session_id)


async def message_not_found(world: World) -> None:
    """Read a message that does not exist."""
    await world.client.get_message(world.session_id, message_id="other")


async def session_exists(world: World) -> None:
    """Create a session with a taken id."""
    await world.client.create_session(world.session_id)


async def message_id_reused(world: World) -> None:
    """Append another message with a stored id."""
    other = Message(role=Role.USER, content="other", message_id="m")
    await world.client.append_messages(world.session_id, [Message(role=Role.USER), other])


async def sequence_mismatch(world: World) -> None:
    """Expect a sequence that another message has passed."""
    await world.client.append_message(world.session_id, Message(role=Role.USER), expected_last_sequence=0)


async def etag_mismatch(world: World) -> None:
    """Update with an etag that another update has changed."""
    read = await world.client.get_session(world.session_id)
    await world.client.update_session(world.session_id, title="changed")
    await world.client.update_session(world.session_id, title="changed again", etag=read.etag)


async def state_version_mismatch(world: World) -> None:
    """Expect a state version that another patch has changed."""
    await world.client.update_state(world.session_id, {"a": 1})
    await world.client.append_message(
        world.session_id, Message(role=Role.USER), state_patch={"a": 2}, expected_state_version=0
    )


async def state_too_large(world: World) -> None:
    """Patch a state beyond its largest size."""
    for name in ("a", "b"):
        await world.client.update_state(world.session_id, {name: "x" * 150_000})


async def compaction_mismatch(world: World) -> None:
    """Compact with an expectation that another compaction has changed."""
    summary = Message(role=Role.SYSTEM, content="in short")
    await world.client.compact_history(
        world.session_id, summary, through_sequence=1, expected_compacted_through_sequence=5
    )


async def session_not_active(world: World) -> None:
    """Append to a session that is not active."""
    await world.client.update_session(world.session_id, status=SessionStatus.COMPLETED)
    await world.client.append_message(world.session_id, Message(role=Role.USER))


async def session_not_deleted(world: World) -> None:
    """Undelete a session that was never deleted."""
    await world.client.undelete_session(world.session_id)


async def too_many_pinned(world: World) -> None:
    """Append more pinned messages than the limit."""
    await world.client.append_messages(world.session_id, PINNED)


async def limit_reached(world: World) -> None:
    """Create one session more than the tenant may have."""
    await world.move(limits=True)
    await limit(world.service, tenant_sessions=1)
    await write_counts(world.service)
    await world.client.create_session(fresh_id())


async def rate_limited(world: World) -> None:
    """Make one call more in a second than the tenant may make."""
    await world.move(limits=True)
    world.patch.setattr(rate_limits, "_retry_delay_seconds", lambda: RETRY_DELAY_SECONDS)
    await limit(world.service, tenant_requests_per_second=1)
    for _ in range(100):
        await world.client.get_history(world.session_id)


async def pool_exhausted(world: World) -> None:
    """Call while the pool's only connection waits for a lock."""
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
    """Call a service whose Postgres does not exist."""
    service = await world.serve("postgresql://localhost:1/none", serving=False)
    await world.connect(service.address, timeout_seconds=PATIENCE_SECONDS).append_message("s", HELLO)


async def database_read_only(world: World) -> None:
    """Append to a database that refuses writes as a read-only one does."""
    url = await world.move()
    execute(
        url,
        "create function refuse() returns trigger language plpgsql as"
        " $$ begin raise exception using errcode = '25006'; end $$",
        "create trigger refusing before insert on messages for each row execute function refuse()",
    )
    await world.client.append_message(world.session_id, Message(role=Role.USER))


async def schema_outdated(world: World) -> None:
    """Append to a database that lacks a column."""
    url = await world.move()
    execute(url, "alter table messages rename column message_id to old_id")
    await world.client.append_message(world.session_id, Message(role=Role.USER))


async def transaction_conflict(world: World) -> None:
    """Append to a session that stays locked for longer than the service waits for a lock."""
    world.patch.setitem(connecting.SETTINGS, "lock_timeout", "50")
    url = await world.move()
    with psycopg.connect(url) as connection:
        connection.execute("select from sessions for update")
        await world.client.append_message(world.session_id, Message(role=Role.USER))


async def server_stopping(world: World) -> None:
    """Keep a stream open for longer than a stop waits.

    The raw stub is used because the client would send the stream again.
    """
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


async def server_overloaded(world: World) -> None:
    """Call on a connection that the service refuses because its peer does not read."""
    enter = PeerWatcher.enter

    def refused(watcher: PeerWatcher, context: Any, began: float, **options: bool) -> Exchange:
        call = enter(watcher, context, began, **options)
        call.connection.is_refused = True
        return call

    world.patch.setattr(PeerWatcher, "enter", refused)
    await world.client.get_session(world.session_id)


async def statement_timeout(world: World) -> None:
    """Read with a statement that exceeds the service's time limit."""
    world.patch.setitem(connecting.SETTINGS, "statement_timeout", "50")
    url = await world.move()
    with locked(url):
        await world.client.get_history(world.session_id)


async def deadline(world: World) -> None:
    """Read until the caller's own deadline passes."""
    url = await world.move()
    with locked(url):
        await world.client.get_history(world.session_id, timeout_seconds=0.1)


async def internal(world: World) -> None:
    """Call a method that has a defect."""

    async def broken(*_: object) -> None:
        raise ValueError("cannot")

    world.patch.setattr(Sessions, "get", broken)
    await world.client.get_session(world.session_id)


async def over_the_limit_of_grpc(world: World) -> None:
    """Send more than gRPC reads."""
    await world.client.append_message(world.session_id, Message(role=Role.USER, payload=bytes(33 * MIB)))


async def nobody_there(world: World) -> None:
    """Call a port on which no server listens."""
    await world.connect(f"127.0.0.1:{free_port()}").delete_session("s")


async def another_service(world: World) -> None:
    """Call a gRPC server without the service."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        await world.connect(f"127.0.0.1:{port}").get_session("s")
    finally:
        await server.stop(None)


async def _guarded(world: World, **fields: Any) -> Client:
    """Return a client of a service that asks for keys, with a new key."""
    world.service = await world.serve(world.database_url(), auth=("keys",))
    _, secret = await make_key(world.service, **fields)
    return world.connect(world.service.address, key=secret, timeout_seconds=PATIENCE_SECONDS)


async def credentials_missing(world: World) -> None:
    """Call without a key."""
    await _guarded(world)
    await world.connect(world.service.address).get_session("s")


async def credentials_invalid(world: World) -> None:
    """Call with a key that does not exist."""
    await _guarded(world)
    await world.connect(world.service.address, key="shk_nothing").get_session("s")


async def credentials_expired(world: World) -> None:
    """Call with a key that has expired."""
    await (await _guarded(world, expire_time=1)).get_session("s")


async def token_keys_unavailable(world: World) -> None:
    """Call with a token while nothing answers at the URL of the keys."""
    settings = jwt_settings("http://127.0.0.1:1/keys.json")
    world.service = await world.serve(world.database_url(), **settings)
    token = IssuerKey("k").token()
    client = world.connect(world.service.address, key=token, timeout_seconds=PATIENCE_SECONDS)
    await client.get_session("s")


async def scope_missing(world: World) -> None:
    """Write with a key that may only read."""
    await (await _guarded(world, scopes=("read",))).create_session()


async def user_mismatch(world: World) -> None:
    """Name another user than the one that the key is bound to."""
    await (await _guarded(world, user_id="ada")).get_session("s", user_id="eve")


async def application_mismatch(world: World) -> None:
    """Name another application than the one that the key is bound to."""
    client = await _guarded(world, application_id="app")
    await client.create_session(session=SessionFields(application_id="other"))


async def api_key_not_found(world: World) -> None:
    """Revoke a key that does not exist."""
    await (await _guarded(world)).revoke_api_key("A" * 16)


async def too_many_api_keys(world: World) -> None:
    """Create a key above the limit."""
    client = await _guarded(world)
    world.patch.setattr(api_keys, "MAX_API_KEYS", 0)
    await client.create_api_key([Scope.READ])


async def api_key_without_secret(world: World) -> None:
    """Rotate a key that has the name of a certificate."""
    client = await _guarded(world)
    await client.rotate_api_key(await register(world.service, "DNS:orders.internal"))
