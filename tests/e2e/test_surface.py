"""The port's other services and answers: health, grpcurl, and requests that are not calls of ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.limits import MAX_REQUEST_BYTES, MIB
from support.errors import failure_of
from support.grpcurl import grpcurl
from support.readme import page
from support.service import NOT_SERVING, PATIENCE_SECONDS, SERVING
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from support.proxy import Proxy
    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

_SERVICE = "sessionhistory.v1.SessionHistoryService"
_NAMES = ["", _SERVICE]


async def test_metadata_has_one_limit(service: Service) -> None:
    """Metadata up to the limit is answered and above it refused, always.

    gRPC's own two limits leave a range in which chance decides.
    """
    check: Any = service.channel.unary_unary("/grpc.health.v1.Health/Check")
    for _ in range(20):
        await check(b"", metadata=(("x-much", "x" * 15_000),))
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await check(b"", metadata=(("x-much", "x" * 17_000),))
        assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_grpcurl_needs_no_files(service: Service) -> None:
    """Grpcurl lists, describes and calls with short JSON, by the names of the contract."""
    assert _SERVICE in (await grpcurl(service, "list")).split()
    assert "rpc GetHistory" in await grpcurl(service, "describe", _SERVICE)
    assert "int64 sequence = 2" in await grpcurl(service, "describe", "sessionhistory.v1.Message")
    data = '{"session_id": "s", "message": {"role": "ROLE_USER", "content": "hi"}, "new_session": {}}'
    answer = json.loads(await grpcurl(service, f"{_SERVICE}/AppendMessage", flags=("-d", data)))
    assert (answer["session_created"], answer["message"]["sequence"]) == (True, "1")


async def test_the_example_of_a_stream_of_calls(service: Service) -> None:
    """The guide's example stores a message, and reads it with the next call."""
    await service.stub.CreateSession(pb.CreateSessionRequest(session_id="trip-1"))
    calls = page("docs/grpcurl.md").split("CallStream <<'END'\n")[1].split("\nEND\n")[0]
    answers = await grpcurl(service, f"{_SERVICE}/CallStream", flags=("-d", calls))
    found = [answer for answer in _documents(answers) if "outcomes" in answer]
    appended, read = (outcome for answer in found for outcome in answer["outcomes"])
    assert appended["append_message"]["message"]["content"] == "And on Sunday?"
    assert [each["content"] for each in read["get_history"]["history"]["messages"]] == ["And on Sunday?"]


def _documents(text: str) -> Iterator[Any]:
    """Yield the JSON documents that follow each other in a text."""
    decoder, position = json.JSONDecoder(), 0
    while position < len(text.rstrip()):
        document, position = decoder.raw_decode(text, position)
        position += len(text[position:]) - len(text[position:].lstrip())
        yield document


@pytest.mark.parametrize("name", _NAMES)
async def test_health_can_be_asked(service: Service, name: str) -> None:
    """The whole server and our service by name are SERVING."""
    answer = await service.health.Check(health_pb2.HealthCheckRequest(service=name))
    assert answer.status == SERVING


@pytest.mark.parametrize("name", _NAMES)
async def test_health_can_be_watched(serve: Serve, proxy: Proxy, name: str) -> None:
    """A watcher is sent each change of health, and nothing else."""
    service = await serve(proxy.url)
    watch = service.health.Watch(health_pb2.HealthCheckRequest(service=name), timeout=PATIENCE_SECONDS)
    statuses = [(await watch.read()).status]
    await proxy.refuse()
    statuses.append((await watch.read()).status)
    proxy.heal()
    statuses.append((await watch.read()).status)
    watch.cancel()
    assert statuses == [SERVING, NOT_SERVING, SERVING]


async def test_health_of_an_unknown_service(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """Check answers NOT_FOUND, as health's contract asks, and is logged so; Watch says SERVICE_UNKNOWN."""
    caplog.set_level("INFO")
    request = health_pb2.HealthCheckRequest(service="no.such.Service")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.health.Check(request)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    await until(lambda: caplog.records)
    assert [vars(record).get("code") for record in caplog.records] == ["NOT_FOUND"]
    watch = service.health.Watch(request, timeout=PATIENCE_SECONDS)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


async def test_health_of_all_services(service: Service) -> None:
    """List answers for the whole server, and for the service by its name."""
    statuses = (await service.health.List(health_pb2.HealthListRequest())).statuses  # type: ignore[attr-defined] # no stub yet
    assert {name: answer.status for name, answer in statuses.items()} == {"": SERVING, _SERVICE: SERVING}


@pytest.mark.parametrize(
    "path",
    [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_bad_bytes_to_health_and_reflection(
    service: Service, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Health and reflection refuse bad bytes as our own methods do, and log no error."""
    answers = service.channel.stream_stream(path)(iter([b"\xff"]))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answers.read()
    failure = failure_of(caught.value)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_call_without_a_request(service: Service) -> None:
    """A unary call without a request is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.channel.stream_unary(f"/{_SERVICE}/GetSession")(iter([]))
    failure = failure_of(caught.value)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


@pytest.mark.parametrize("path", [f"/{_SERVICE}/NoSuchMethod", "/no.such.Service/Method"])
async def test_unknown_methods(service: Service, path: str) -> None:
    """An unknown method or service is UNIMPLEMENTED."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.channel.unary_unary(path)(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_stream_to_a_unary_method(service: Service) -> None:
    """A second request in a unary call is refused and does not harm the server."""
    call = service.channel.stream_unary(f"/{_SERVICE}/GetSession")
    request = pb.GetSessionRequest(session_id="s").SerializeToString()
    with pytest.raises(grpc.aio.AioRpcError):
        await call(iter([request, request]))
    assert (await service.health.Check(health_pb2.HealthCheckRequest())).status == SERVING


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff", "MALFORMED_REQUEST"),
        (b"\x0a\x02\xff\xfe", "MALFORMED_REQUEST"),
        (bytes(MAX_REQUEST_BYTES + 1), "REQUEST_TOO_LARGE"),
        (bytes(7 * MIB), "REQUEST_TOO_LARGE"),
    ],
)
async def test_our_answer_to_bytes_that_are_no_request(service: Service, data: bytes, reason: str) -> None:
    """Bad bytes and too many bytes are INVALID_ARGUMENT with a reason of ours, not with gRPC's answers."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.channel.unary_unary(f"/{_SERVICE}/GetSession")(data)
    failure = failure_of(caught.value)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_above_grpcs_own_limit(service: Service) -> None:
    """Above 8 MiB gRPC refuses the request itself, and the server goes on."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.channel.unary_unary(f"/{_SERVICE}/GetSession")(bytes(9 * MIB))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await service.health.Check(health_pb2.HealthCheckRequest())).status == SERVING
