"""A server that asks for keys serves their holders only, each within its scopes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from rpc_support import call, fresh_id

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.credentials import api_keys as key_text
from sessionhistory_server.model.caller import ADMIN, ALL_SCOPES, READ, WRITE
from sessionhistory_server.rpc.dispatch import CREDENTIALS, SERVICE
from sessionhistory_server.rpc.reflection import REFLECTIONS
from support.call_streams import made, reason_of
from support.errors import fails, failure_of
from support.keys import holder, holding, make_key
from support.service import SERVING
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.descriptor import MethodDescriptor

    from support.proxy import Proxy
    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

READING = {"GetSession", "ListSessions", "GetActiveSession", "GetMessage", "GetHistory", "ListMessages"}
METHODS = [method for service in (SERVICE, CREDENTIALS) for method in service.methods]

_id = key_text.new_id()
UNKNOWN = key_text.new_key(_id)
GARBAGE = (
    "",
    "x",
    "shk_",
    UNKNOWN,
    UNKNOWN[:-1],
    UNKNOWN + "0",
    UNKNOWN[:-1] + ("0" if UNKNOWN[-1] != "0" else "1"),
    UNKNOWN.replace("shk_", "SHK_"),
    f"shk_{'_' * 66}",
    f"shk_{_id}_" + "'" * 49,
    "~" * 15_000,
)


def scope_of(method: MethodDescriptor) -> str | None:
    """Return the scope that a method needs, by the rules of the contract."""
    if method.containing_service is CREDENTIALS:
        return ADMIN
    if method.name == "CallStream":
        return None
    return READ if method.name in READING else WRITE


async def _outcome(
    service: Service, method: MethodDescriptor, metadata: list[tuple[str, Any]]
) -> tuple[Any, str]:
    """Send an empty request; return the code and the reason of the answer."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        async for _ in service.channel.unary_stream(path)(b"", metadata=metadata):
            pass
    except grpc.aio.AioRpcError as error:
        failure = failure_of(error)
        return failure.code, failure.reason
    return grpc.StatusCode.OK, ""


def _bearer(secret: str) -> list[tuple[str, Any]]:
    return [("authorization", f"Bearer {secret}")]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_every_rpc_needs_a_key(guarded: Service, method: MethodDescriptor) -> None:
    """Without a key each RPC of the contract is UNAUTHENTICATED, before its request is read."""
    assert await _outcome(guarded, method, []) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_MISSING")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_every_rpc_needs_its_scope(guarded: Service, method: MethodDescriptor) -> None:
    """All other scopes together are not enough, and this scope alone is."""
    needed = scope_of(method)
    _, without = await make_key(guarded, scopes=tuple(sorted(ALL_SCOPES - {needed})))
    _, alone = await make_key(guarded, scopes=(needed or READ,))
    if needed is not None:
        refused = (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
        assert await _outcome(guarded, method, _bearer(without)) == refused
    code, _ = await _outcome(guarded, method, _bearer(alone))
    assert code not in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_a_server_without_credentials_lets_no_caller_manage_keys(
    shared: Service, method: MethodDescriptor
) -> None:
    """A key that any caller could make would stay valid once the server asks for credentials."""
    code, reason = await _outcome(shared, method, [])
    assert (reason == "SCOPE_MISSING") == (scope_of(method) == ADMIN)
    assert (code is grpc.StatusCode.PERMISSION_DENIED) == (scope_of(method) == ADMIN)


@pytest.mark.parametrize("scopes", [(READ,), (WRITE,)])
async def test_each_call_of_a_stream_needs_its_scope(guarded: Service, scopes: tuple[str, ...]) -> None:
    """The stream itself needs none."""
    service = await holder(guarded, scopes=scopes)
    writing = ("append_message", "append_messages", "update_state")
    kinds = (*writing, "get_history", "list_messages", "get_message", "get_session")
    outcomes = await made(service.stub, *({kind: {"session_id": "s"}} for kind in kinds))
    denied = [reason_of(outcome) == ("PERMISSION_DENIED", "SCOPE_MISSING") for outcome in outcomes]
    assert denied == [(kind in writing) == (scopes == (READ,)) for kind in kinds]


@pytest.mark.parametrize("secret", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_is_no_key(guarded: Service, secret: str) -> None:
    """A text that is no key, and a key that does not exist, are refused alike."""
    with fails("UNAUTHENTICATED", "CREDENTIALS_INVALID") as failure:
        await call(holding(guarded, secret), "GetSession", "s")
    assert failure.message == "the credential is unknown or revoked: send a valid one"
    assert failure.metadata == {}


@pytest.mark.parametrize("value", ["Basic {}", "{}", "Bearer{}", "Bearer , {}", "Bearer {0} {0}"])
async def test_another_scheme_is_refused(guarded: Service, value: str) -> None:
    """Only `Bearer`, in any case, and one key."""
    _, secret = await make_key(guarded)
    with fails("UNAUTHENTICATED", "CREDENTIALS_INVALID"):
        await guarded.stub.GetSession(
            pb.GetSessionRequest(session_id="s"), metadata=[("authorization", value.format(secret))]
        )


async def test_two_keys_are_none(guarded: Service) -> None:
    """A call with two credentials is refused, whatever they are: it is not clear which one it means."""
    _, secret = await make_key(guarded)
    with fails("UNAUTHENTICATED", "CREDENTIALS_INVALID"):
        await guarded.stub.GetSession(
            pb.GetSessionRequest(session_id="s"), metadata=_bearer(secret) + _bearer(secret)
        )


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
async def test_a_key_is_accepted(guarded: Service, scheme: str) -> None:
    """The scheme may have any case."""
    _, secret = await make_key(guarded)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await guarded.stub.GetSession(
            pb.GetSessionRequest(session_id=fresh_id()), metadata=[("authorization", scheme + secret)]
        )


async def test_a_right_id_with_a_wrong_secret_is_like_an_unknown_key(guarded: Service) -> None:
    """Code, message and details are the same, and both take the same way: neither shows which ids exist."""
    key_id, secret = await make_key(guarded)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(holding(guarded, secret), "GetSession", fresh_id())
    failures = []
    for text in (key_text.new_key(key_id), key_text.new_key(key_text.new_id())):
        with fails("UNAUTHENTICATED", "CREDENTIALS_INVALID") as failure:
            await call(holding(guarded, text), "GetSession", "s")
        failures.append(failure)
    assert failures[0] == failures[1]


async def test_headers_that_are_too_large_are_refused_by_the_transport(guarded: Service) -> None:
    """GRPC refuses 16 KiB of metadata, and the connection serves the next call."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(holding(guarded, "x" * 20_000), "GetSession", "s")
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(await holder(guarded), "GetSession", fresh_id())


async def test_an_expired_key_is_refused_as_such(guarded: Service) -> None:
    """Its holder knows the secret, so the error says that it has expired."""
    service = await holder(guarded, expire_time=1)
    with fails("UNAUTHENTICATED", "CREDENTIALS_EXPIRED"):
        await call(service, "GetSession", "s")


async def test_a_key_expires_while_it_is_used(guarded: Service) -> None:
    """From its expire time on."""
    soon = int((time.time() + 2 - 946_684_800) * 1e6)
    service = await holder(guarded, expire_time=soon)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(service, "GetSession", fresh_id())

    async def has_expired() -> bool:
        try:
            await call(service, "GetSession", fresh_id())
        except grpc.aio.AioRpcError as error:
            return failure_of(error).reason == "CREDENTIALS_EXPIRED"
        return False

    await until(has_expired)


async def test_health_is_open(guarded: Service) -> None:
    """Balancers have no keys."""
    answer = await guarded.health.Check(health_pb2.HealthCheckRequest())
    assert answer.status == SERVING


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ("credentials", grpc.StatusCode.UNAUTHENTICATED),
        ("open", grpc.StatusCode.OK),
        ("off", grpc.StatusCode.UNIMPLEMENTED),
    ],
)
async def test_reflection_is_as_configured(
    serve: Serve, database_url: str, setting: str, code: grpc.StatusCode
) -> None:
    """With a key only, without one, or not at all."""
    service = await serve(database_url, auth=("keys",), reflection=setting)
    for reflection in REFLECTIONS:
        assert (await _outcome(service, reflection.methods[0], []))[0] is code
        if setting == "credentials":
            _, secret = await make_key(service)
            assert (await _outcome(service, reflection.methods[0], _bearer(secret)))[0] is grpc.StatusCode.OK


async def test_without_auth_a_key_is_not_needed_and_not_read(shared: Service) -> None:
    """A client that sends one anyway is served."""
    for secret in (None, "no key"):
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await call(holding(shared, secret), "GetSession", fresh_id())


async def test_a_database_that_is_away_at_the_start_is_no_wrong_key(
    serve: Serve, database_url: str, proxy: Proxy
) -> None:
    """Until the keys have been read once, calls are UNAVAILABLE; then the key is accepted."""
    _, secret = await make_key(await serve(database_url))
    await proxy.refuse()
    service = holding(await serve(proxy.url, serving=False, auth=("keys",)), secret)
    with fails("UNAVAILABLE", "DATABASE_UNAVAILABLE"):
        await call(service, "GetSession", "s")
    proxy.heal()
    await service.wait_until_serving()
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(service, "GetSession", "s")


async def test_known_keys_are_served_during_a_flood_of_unknown_ones(guarded: Service) -> None:
    """Calls with unknown keys wait for one look into the database together, and are bounded in number."""
    service = await holder(guarded)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(service, "GetSession", fresh_id())
    unknown = [holding(guarded, key_text.new_key(key_text.new_id())) for _ in range(200)]
    flood = [asyncio.create_task(_reason(each)) for each in unknown]
    for _ in range(20):
        assert await _reason(service) == "SESSION_NOT_FOUND"
    assert set(await asyncio.gather(*flood)) == {"CREDENTIALS_INVALID", "SERVER_OVERLOADED"}


async def _reason(service: Service) -> str:
    try:
        await call(service, "GetSession", fresh_id())
    except grpc.aio.AioRpcError as error:
        return failure_of(error).reason
    return ""
