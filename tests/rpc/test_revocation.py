"""A key that is revoked, rotated or expired is refused by every server, and its streams end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from rpc_support import call, stored

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory.v1 import credentials_service_pb2 as pb
from sessionhistory_server.limits import MIB
from sessionhistory_server.rpc.reflection import REFLECTIONS
from support.call_streams import OpenCalls, appending, reading, reason_of
from support.databases import execute
from support.errors import failure_of
from support.keys import credentials, holding, make_key
from support.locks import locked_session, waiting
from support.open_stream import OpenStream
from support.tokens import IssuerKey, jwt_settings, publish
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]


@pytest_asyncio.fixture
async def two(serve: Serve, database_url: str) -> list[Service]:
    """Two servers of one database that ask for keys. Each holds the keys by itself, as workers do."""
    return [await serve(database_url, auth=("keys",)) for _ in range(2)]


async def _reason(service: Service, secret: str) -> str:
    try:
        await call(holding(service, secret), "GetSession", "missing")
    except grpc.aio.AioRpcError as error:
        return failure_of(error).reason
    return ""


async def _until_all(services: list[Service], secret: str, reason: str) -> None:
    for service in services:

        async def answers(service: Service = service) -> bool:
            return await _reason(service, secret) == reason

        await until(answers)


async def _revoke(service: Service, key_id: str) -> None:
    _, admin = await make_key(service)
    await credentials(service, admin).RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=key_id))


async def test_a_new_key_is_accepted_at_once(two: list[Service]) -> None:
    """Every server looks for a key that it does not know."""
    _, secret = await make_key(two[0])
    for service in two:
        assert await _reason(service, secret) == "SESSION_NOT_FOUND"


async def test_a_revoked_key_is_refused_by_all(two: list[Service]) -> None:
    """As an unknown key is."""
    key_id, secret = await make_key(two[0])
    await _until_all(two, secret, "SESSION_NOT_FOUND")
    await _revoke(two[0], key_id)
    await _until_all(two, secret, "CREDENTIALS_INVALID")


async def test_both_secrets_are_accepted_during_the_overlap(two: list[Service]) -> None:
    """Then only the new one; without an overlap only the new one at once."""
    key_id, first = await make_key(two[0])
    admin = credentials(two[0], first)
    request = pb.RotateApiKeyRequest(api_key_id=key_id, overlap=Duration(seconds=3))
    second = (await admin.RotateApiKey(request)).secret
    assert second[:21] == first[:21]
    await _until_all(two, second, "SESSION_NOT_FOUND")
    await _until_all(two, first, "CREDENTIALS_INVALID")
    rotated = await credentials(two[0], second).RotateApiKey(pb.RotateApiKeyRequest(api_key_id=key_id))
    await _until_all(two, rotated.secret, "SESSION_NOT_FOUND")
    await _until_all(two, second, "CREDENTIALS_INVALID")


async def test_the_previous_secret_is_accepted_until_the_overlap_ends(two: list[Service]) -> None:
    """With a long overlap both work."""
    key_id, first = await make_key(two[0])
    request = pb.RotateApiKeyRequest(api_key_id=key_id, overlap=Duration(seconds=3_600))
    second = (await credentials(two[0], first).RotateApiKey(request)).secret
    for secret in (second, first, second):
        for service in two:
            assert await _reason(service, secret) == "SESSION_NOT_FOUND"


@pytest.mark.parametrize("on_break", ["ON_BREAK_KEEP", "ON_BREAK_DROP"])
async def test_a_stream_breaks_when_its_key_is_revoked(two: list[Service], on_break: str) -> None:
    """On every server. The part that has arrived is kept as after any break."""
    key_id, secret = await make_key(two[0])
    streams = [OpenStream(holding(service, secret).stub) for service in two]
    for stream in streams:
        await stream.begin(stream_pb.OnBreak.Value(on_break))
    await _revoke(two[0], key_id)
    keeps = on_break == "ON_BREAK_KEEP"
    for service, stream in zip(two, streams, strict=True):
        failure = await stream.failure()
        assert (failure.code, failure.reason) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "CREDENTIALS_INVALID",
        )
        assert failure.metadata == {"kept": str(keeps).lower()}
        _, other = await make_key(service)
        if keeps:
            (message,) = await stored(holding(service, other), stream.session_id)
            assert message.content == "so far"


async def test_a_stream_breaks_when_its_key_expires(two: list[Service]) -> None:
    """Without a change in the database."""
    soon = int((time.time() + 3 - 946_684_800) * 1e6)
    _, secret = await make_key(two[0], expire_time=soon)
    streams = [OpenStream(holding(service, secret).stub) for service in two]
    for stream in streams:
        await stream.begin()
    for stream in streams:
        assert (await stream.failure()).reason == "CREDENTIALS_EXPIRED"


async def test_a_stream_breaks_when_its_token_expires(
    serve: Serve, database_url: str, tmp_path: Path
) -> None:
    """As that of a key."""
    key = IssuerKey("k")
    publish(tmp_path / "keys.json", key)
    service = await serve(database_url, **jwt_settings(tmp_path / "keys.json", jwt_leeway_seconds=0.0))
    stream = OpenStream(holding(service, key.token(exp=int(time.time()) + 3)).stub)
    going = OpenStream(holding(service, key.token()).stub)
    for each in (stream, going):
        await each.begin()
    failure = await stream.failure()
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_EXPIRED")
    await going.call.write(stream_pb.AppendMessageStreamRequest(finish={}))
    await going.call.done_writing()
    assert (await going.call).message.content == "so far"


async def test_a_stream_breaks_when_the_key_of_its_token_is_withdrawn(
    serve: Serve, database_url: str, tmp_path: Path
) -> None:
    """The server verifies each token again if the keys change."""
    key = IssuerKey("k")
    publish(tmp_path / "keys.json", key)
    service = await serve(database_url, **jwt_settings(tmp_path / "keys.json"))
    stream = OpenStream(holding(service, key.token()).stub)
    await stream.begin()
    publish(tmp_path / "keys.json", IssuerKey("other"))
    assert (await stream.failure()).reason == "CREDENTIALS_INVALID"


async def test_another_keys_stream_goes_on(two: list[Service]) -> None:
    """Only streams of the revoked key end."""
    revoked_id, revoked = await make_key(two[0])
    _, secret = await make_key(two[0])
    ending, going = (OpenStream(holding(two[0], each).stub) for each in (revoked, secret))
    await ending.begin()
    await going.begin()
    await _revoke(two[0], revoked_id)
    await ending.failure()
    assert await going.finish() == "so far"


async def test_reflection_ends_when_its_key_is_revoked(two: list[Service]) -> None:
    """It is a stream that may last for hours."""
    key_id, secret = await make_key(two[0])
    path = f"/{REFLECTIONS[0].full_name}/ServerReflectionInfo"
    metadata = (("authorization", f"Bearer {secret}"),)
    reflection = two[1].channel.stream_stream(path)(metadata=metadata)
    await reflection.write(b"\x3a\x00")
    assert await reflection.read()
    await _revoke(two[0], key_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await reflection.read()
    assert failure_of(caught.value).reason == "CREDENTIALS_INVALID"


async def test_a_stream_of_calls_ends_when_its_key_is_revoked(two: list[Service], database_url: str) -> None:
    """A call that has begun is answered, and calls that wait for their session never begin."""
    key_id, secret = await make_key(two[0])
    service = holding(two[1], secret)
    await call(service, "AppendMessages", "s", messages=[{"role": 1}], new_session={})
    state = {"update_state": {"session_id": "s", "patch": "{}"}}
    stream = OpenCalls(service.stub)
    with locked_session(database_url):
        begun, waits = await stream.send(state, state)
        await until(lambda: waiting(database_url))
        await _revoke(two[0], key_id)
        (refused,) = await stream.results([waits])
        assert reason_of(refused) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
    (answered,) = await stream.results([begun])
    assert answered.HasField("update_state")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert failure_of(caught.value).reason == "CREDENTIALS_INVALID"


async def test_no_waiting_call_takes_the_place_of_another(two: list[Service], database_url: str) -> None:
    """Calls that wait are refused together: no append begins because the read before it is refused."""
    key_id, secret = await make_key(two[0])
    service = holding(two[1], secret)
    await call(service, "AppendMessages", "s", messages=[{"role": 1}], new_session={})
    stream = OpenCalls(service.stub)
    with locked_session(database_url):
        begun, *waits = await stream.send(appending(content="1"), reading(), appending(content="2"))
        await until(lambda: waiting(database_url))
        await _revoke(two[0], key_id)
        refused = await stream.results(waits)
    assert [reason_of(each)[0] for each in refused] == ["UNAUTHENTICATED"] * 2
    (answered,) = await stream.results([begun])
    assert answered.append_message.last_sequence == 2


async def test_answers_that_are_not_read_yet_come_before_the_refusal(two: list[Service]) -> None:
    """A caller that reads late gets the outcomes of all calls that were made before the key was revoked."""
    key_id, secret = await make_key(two[0])
    service = holding(two[1], secret)
    large = {"role": 1, "content": "x" * (MIB - 1_000)}
    await call(service, "AppendMessages", "s", messages=[large, large], new_session={})
    slow, fast = OpenCalls(service.stub), OpenCalls(service.stub)
    numbers = await slow.send(*[reading()] * 4)
    await fast.make(reading())
    await _revoke(two[0], key_id)
    with pytest.raises(grpc.aio.AioRpcError):
        await fast.read()
    assert [each.HasField("get_history") for each in await slow.results(numbers)] == [True] * 4
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await slow.read()
    assert failure_of(caught.value).reason == "CREDENTIALS_INVALID"


async def test_changes_that_another_primary_lost_are_read_again(
    two: list[Service], database_url: str
) -> None:
    """After a failover the database may be behind what a server has seen. Then the server reads all keys."""
    key_id, secret = await make_key(two[0])
    await _until_all(two, secret, "SESSION_NOT_FOUND")
    execute(
        database_url,
        f"update api_keys set revoke_time = now(), generation = 0 where api_key_id = '{key_id}'",
        "update credential_state set generation = 0",
    )
    await _until_all(two, secret, "CREDENTIALS_INVALID")
