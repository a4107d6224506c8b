"""Server reflection: the answers of grpcio's own servicer, with the comments of the contract."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from sessionhistory_server.rpc.dispatch import rpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
    from google.protobuf.message import Message
    from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionResponse

    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.rpc.streaming.reader import Reader
    from sessionhistory_server.rpc.streaming.sender import Sender


def _reflection(version: str) -> ServiceDescriptor:
    """Return a version of the service. grpcio-reflection lacks v1, which is v1alpha under another name."""
    file = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    renamed = text_format.MessageToString(file).replace("v1alpha", version)
    pool = DescriptorPool()
    pool.Add(text_format.Parse(renamed, FileDescriptorProto()))
    return pool.FindServiceByName(f"grpc.reflection.{version}.ServerReflection")


REFLECTIONS: Final = (_reflection("v1"), _reflection("v1alpha"))

_DETAILS: Final = (status_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR)
_CONTRACT: Final = Path(__file__).with_name("contract.binpb")


class Reflection:
    """The reflection service. It describes the given services and the details of errors."""

    def __init__(self, services: Sequence[ServiceDescriptor]) -> None:
        pool = _Pool(*(service.file for service in services), *_DETAILS)
        # Its stub says that it returns a coroutine.
        self._servicer: Any = aio.ReflectionServicer([service.full_name for service in services], pool)
        self._commented: Final = dict(_commented())

    @rpc(None, lasts=True)
    async def ServerReflectionInfo(self, _: Caller, reader: Reader[Message], sender: Sender) -> None:
        """Answer each request of a stream."""
        async for answer in self._servicer.ServerReflectionInfo(_questions(reader), None):
            self._comment(answer)
            await sender.send(answer.SerializeToString())

    def _comment(self, answer: ServerReflectionResponse) -> None:
        """Replace the contract's files by those with comments, which a pool of descriptors drops."""
        files = answer.file_descriptor_response.file_descriptor_proto
        for index, data in enumerate(files):
            files[index] = self._commented.get(FileDescriptorProto.FromString(data).name, data)


class _Pool:
    """The descriptors of some files, and of the files that they import."""

    def __init__(self, *files: FileDescriptor) -> None:
        self._pool: Final = DescriptorPool()
        for file in _imports_first(*files):
            self._pool.AddSerializedFile(file.serialized_pb)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of the pool
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """Return the file of a symbol, also of a method, which protobuf's own pool does not find."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindMethodByName(symbol).containing_service.file


def _commented() -> Iterator[tuple[str, bytes]]:
    """Yield the files of the contract by their names, with comments."""
    for file in FileDescriptorSet.FromString(_CONTRACT.read_bytes()).file:
        for field in (field for message in file.message_type for field in message.field):
            # With the JSON name grpcurl prints `sessionId`; without it `session_id`, as the contract and the
            # guides do.
            field.ClearField("json_name")
        yield file.name, file.SerializeToString()


def _imports_first(*files: FileDescriptor) -> Iterator[FileDescriptor]:
    for file in files:
        yield from _imports_first(*file.dependencies)
        yield file


async def _questions(reader: Reader[Message]) -> AsyncIterator[ServerReflectionRequest]:
    question, reader.first = reader.first, None  # it may be large, and the stream may last
    while question is not None:
        yield ServerReflectionRequest.FromString(question.SerializeToString())
        question = await reader.read()
