"""What a stranger finds at the port: reflection, health, and answers to what is no call of ours."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.limits import MAX_REQUEST_BYTES, MIB
from support.errors import failure_of
from support.service import NOT_SERVING, PATIENCE_SECONDS, SERVING
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.proxy import Proxy
    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

_SERVICE = "sessionhistory.v1.SessionHistoryService"
_NAMES = ["", _SERVICE]


async def _grpcurl(service: Service, *arguments: str, flags: tuple[str, ...] = ()) -> str:
    tools = Path(__file__).parents[2] / ".tools" / "bin"
    command = shutil.which("grpcurl", path=f"{tools}{os.pathsep}{os.environ['PATH']}")
    if command is None:
        assert not os.environ.get("SESSION_HISTORY_REQUIRE_TOOLS"), "grpcurl is not installed"
        pytest.skip("grpcurl is not installed: run `make tools`")
    process = await asyncio.create_subprocess_exec(
        *(command, "-plaintext", *flags, service.address, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode == 0, output.decode()
    return output.decode()


async def _reflect(service: Service, request: reflection_pb2.ServerReflectionRequest) -> Any:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(service.channel)
    async for answer in stub.ServerReflectionInfo(iter([request])):
        return answer
    raise AssertionError("no answer")


async def test_reflection_lists_the_services(service: Service) -> None:
    """Ours, health and reflection itself."""
    answer = await _reflect(service, reflection_pb2.ServerReflectionRequest(list_services=""))
    names = {found.name for found in answer.list_services_response.service}
    assert names == {_SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_reflection_describes_the_service(service: Service) -> None:
    """Reflection gives the files that define the service, with every method."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=_SERVICE)
    answer = await _reflect(service, request)
    files = map(
        descriptor_pb2.FileDescriptorProto.FromString,
        answer.file_descriptor_response.file_descriptor_proto,
    )
    methods = {method.name for file in files for found in file.service for method in found.method}
    ours = pb.DESCRIPTOR.services_by_name["SessionHistoryService"]
    assert methods == {method.name for method in ours.methods}


async def test_grpcurl_needs_no_files(service: Service) -> None:
    """Grpcurl lists, describes and calls, with JSON as short as it is typed by hand."""
    assert _SERVICE in (await _grpcurl(service, "list")).split()
    assert "rpc GetHistory" in await _grpcurl(service, "describe", _SERVICE)
    assert "int64 sequence = 2" in await _grpcurl(service, "describe", "sessionhistory.v1.Message")
    data = '{"session_id": "s", "message": {"role": "ROLE_USER", "content": "hi"}, "create_session": {}}'
    answer = json.loads(await _grpcurl(service, f"{_SERVICE}/AppendMessage", flags=("-d", data)))
    assert answer["message"]["sequence"] == "1"


@pytest.mark.parametrize("name", _NAMES)
async def test_health_can_be_asked(service: Service, name: str) -> None:
    """The whole server and our service by name are SERVING."""
    answer = await service.health.Check(health_pb2.HealthCheckRequest(service=name))
    assert answer.status == SERVING


@pytest.mark.parametrize("name", _NAMES)
async def test_health_can_be_watched(serve: Serve, proxy: Proxy, name: str) -> None:
    """Those who watch are told of each change, and of nothing else."""
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
    """Check says NOT_FOUND, as health's own contract asks, and is logged so; Watch says SERVICE_UNKNOWN."""
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


@pytest.mark.parametrize("path", [f"/{_SERVICE}/NoSuchMethod", "/no.such.Service/Method"])
async def test_unknown_methods(service: Service, path: str) -> None:
    """What we do not have is UNIMPLEMENTED."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.channel.unary_unary(path)(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_stream_to_a_unary_method(service: Service) -> None:
    """Two requests where one is expected do not harm the server."""
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
        (bytes(31 * MIB), "REQUEST_TOO_LARGE"),
    ],
)
async def test_our_answer_to_bytes_that_are_no_request(service: Service, data: bytes, reason: str) -> None:
    """Bad bytes and too many are INVALID_ARGUMENT with a reason, and not gRPC's own answers."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.channel.unary_unary(f"/{_SERVICE}/GetSession")(data)
    failure = failure_of(caught.value)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_above_grpcs_own_limit(service: Service) -> None:
    """Above 32 MiB gRPC refuses the request itself, and the server goes on."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.channel.unary_unary(f"/{_SERVICE}/GetSession")(bytes(33 * MIB))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await service.health.Check(health_pb2.HealthCheckRequest())).status == SERVING
