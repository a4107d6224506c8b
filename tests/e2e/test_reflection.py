"""Reflection v1 and v1alpha: tools learn the contract with its comments, without files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_reflection.v1alpha.reflection_pb2 import ExtensionRequest, ServerReflectionRequest

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.limits import MIB
from support.grpcurl import grpcurl
from support.service import connect_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

_SERVICE = "sessionhistory.v1.SessionHistoryService"
_FILE = "sessionhistory/v1/session_history_service.proto"

_VERSIONS = pytest.mark.parametrize("version", ["v1", "v1alpha"])


def _call(service: Service, version: str) -> Any:
    # The messages of v1 are those of v1alpha on the wire.
    return service.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )


async def _ask(service: Service, version: str, **question: Any) -> Any:
    request = ServerReflectionRequest(**question)
    (answer,) = [answer async for answer in _call(service, version)(iter([request]))]
    assert answer.original_request == request
    return answer


def _files(answer: Any) -> dict[str, FileDescriptorProto]:
    files = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
    return {file.name: file for file in files}


def _comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    return {tuple(place.path): place.leading_comments for place in file.source_code_info.location}


@_VERSIONS
async def test_the_services(service: Service, version: str) -> None:
    """Reflection lists our services, health and reflection itself."""
    answer = await _ask(service, version, list_services="")
    assert [found.name for found in answer.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "sessionhistory.v1.CredentialsService",
        _SERVICE,
    ]


@_VERSIONS
@pytest.mark.parametrize(
    "question",
    [
        {"file_by_filename": _FILE},
        {"file_containing_symbol": _SERVICE},
        {"file_containing_symbol": f"{_SERVICE}.GetHistory"},
        {"file_containing_symbol": "sessionhistory.v1.GetHistoryRequest"},
        {"file_containing_symbol": "sessionhistory.v1.GetHistoryRequest.max_turns"},
    ],
)
async def test_the_files_of_the_contract(service: Service, version: str, question: dict[str, str]) -> None:
    """Each kind of question returns the file and its imports with comments, and not much more."""
    answer = await _ask(service, version, **question)
    files = _files(answer)
    assert {needed for file in files.values() for needed in file.dependency} == files.keys() - {_FILE}
    comments = _comments(files[_FILE])
    (found,) = files[_FILE].service
    assert [method.name for method in found.method] == [
        method.name for method in pb.DESCRIPTOR.services_by_name["SessionHistoryService"].methods
    ]
    assert "FAILED_PRECONDITION  SESSION_NOT_ACTIVE" in comments[6, 0]
    assert comments[6, 0, 2, 1] == " Returns one session.\n"
    assert answer.ByteSize() < MIB


@_VERSIONS
@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("google.protobuf.Timestamp", "google/protobuf/timestamp.proto"),
        ("google.rpc.ErrorInfo", error_details_pb2.DESCRIPTOR.name),
        ("google.rpc.Status", status_pb2.DESCRIPTOR.name),
        ("grpc.health.v1.Health.Check", health_pb2.DESCRIPTOR.name),
        ("grpc.reflection.v1.ServerReflection", "grpc_reflection/v1/reflection.proto"),
        ("grpc.reflection.v1alpha.ServerReflectionRequest.host", reflection_pb2.DESCRIPTOR.name),
    ],
)
async def test_what_the_contract_needs(service: Service, version: str, symbol: str, file: str) -> None:
    """Reflection describes the types of fields and of error details, and the other services."""
    assert file in _files(await _ask(service, version, file_containing_symbol=symbol))


@_VERSIONS
@pytest.mark.parametrize(
    "question",
    [
        {"file_by_filename": "no/such.proto"},
        {"file_containing_symbol": "sessionhistory.v1"},
        {"file_containing_symbol": "sessionhistory.v1.NoSuchMessage"},
        {"file_containing_symbol": f"{_SERVICE}.NoSuchMethod"},
        {"file_containing_symbol": "sessionhistory.v1.Message.no_such_field"},
        {"file_containing_extension": ExtensionRequest(containing_type="sessionhistory.v1.Message")},
        {"file_containing_extension": ExtensionRequest(containing_type="no.such.Message")},
        {"all_extension_numbers_of_type": "no.such.Message"},
    ],
    ids=str,
)
async def test_what_is_not_there(service: Service, version: str, question: dict[str, Any]) -> None:
    """An unknown name is NOT_FOUND, and the stream goes on."""
    requests = [ServerReflectionRequest(**question), ServerReflectionRequest(list_services="")]
    refused, listed = [answer async for answer in _call(service, version)(iter(requests))]
    assert refused.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert listed.list_services_response.service


@_VERSIONS
async def test_messages_have_no_extensions(service: Service, version: str) -> None:
    """The list of extensions of an existing message is empty."""
    answer = await _ask(service, version, all_extension_numbers_of_type="sessionhistory.v1.Message")
    assert answer.all_extension_numbers_response.base_type_name == "sessionhistory.v1.Message"
    assert not answer.all_extension_numbers_response.extension_number


@_VERSIONS
async def test_a_question_without_a_question(service: Service, version: str) -> None:
    """A request without a question is INVALID_ARGUMENT."""
    answer = await _ask(service, version)
    assert answer.error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


@_VERSIONS
async def test_a_silent_stream(
    serve: Callable[..., Awaitable[Service]], database_url: str, version: str
) -> None:
    """A stream that is silent for too long is ended."""
    service = await serve(database_url, stream_idle_seconds=0.2)
    call = _call(service, version)()
    await call.write(ServerReflectionRequest(list_services=""))
    await call.read()
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_the_client_of_the_python_package(service: Service) -> None:
    """The client of the Python package builds a pool from the answers, comments included."""

    def learn() -> tuple[list[str], str]:
        with connect_thread(service.address) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            found = DescriptorPool(database).FindServiceByName(_SERVICE)
            comments = _comments(database.FindFileByName("sessionhistory/v1/message.proto"))
            return [method.name for method in found.methods], comments[4, 0]

    methods, comment = await asyncio.to_thread(learn)
    assert "AppendMessageStream" in methods
    assert comment.startswith(" One message of a session.")


@pytest.mark.parametrize(
    ("symbol", "comment"),
    [
        (_SERVICE, "// Keeps the conversations of LLM applications."),
        (f"{_SERVICE}.GetSession", "// Returns one session.\nrpc GetSession"),
        ("sessionhistory.v1.Usage", "  // Tokens of the answer.\n  optional int32 output_tokens = 2;"),
        ("sessionhistory.v1.Message.role", "// The author of the message. Set by the caller; required."),
        ("sessionhistory.v1.OnBreak", "  // The server stores nothing.\n  ON_BREAK_DROP = 2;"),
    ],
)
async def test_grpcurl_shows_the_comments(
    service: Service, symbol: str, comment: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Grpcurl shows the comments of services, methods, messages, fields and enums.

    None of its attempts on the way is logged as an error.
    """
    assert comment in await grpcurl(service, "describe", symbol)
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


@_VERSIONS
async def test_a_server_without_reflection(
    serve: Callable[..., Awaitable[Service]], database_url: str, version: str
) -> None:
    """Without reflection the service is UNIMPLEMENTED; health and calls are answered."""
    service = await serve(database_url, reflection="off")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _ask(service, version, list_services="")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert not (await service.stub.ListSessions(pb.ListSessionsRequest())).sessions
