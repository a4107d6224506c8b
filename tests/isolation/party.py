"""A caller of a service, and the calls that it makes of any RPC."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf.message_factory import GetMessageClass
from valid_requests import REQUEST_ID

from sessionhistory_server.model.caller import DEFAULT_TENANT
from support.keys import make_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from support.service import Service


class Party(NamedTuple):
    """A caller: the holder of a key, or a caller without one that names a user in its requests."""

    service: Service
    database_url: str
    tenant: str = DEFAULT_TENANT
    secret: str | None = None
    user_id: str = ""
    key_fields: Mapping[str, Any] = MappingProxyType({})
    """The tenant of its key, and the user or the application to which the key is bound."""

    @classmethod
    async def holding(cls, service: Service, database_url: str, **fields: Any) -> Party:
        """Make a key, and return its holder."""
        _, secret = await make_key(service, **fields)
        return cls(service, database_url, fields.get("tenant", DEFAULT_TENANT), secret, key_fields=fields)

    async def call(
        self, method: MethodDescriptor, requests: Iterable[Message], *, is_watched: bool = False
    ) -> list[Message]:
        """Make a call of any RPC as a stream, which looks the same on the wire; return the responses.

        Raises:
            grpc.RpcError: the call fails.
        """
        path = f"/{method.containing_service.full_name}/{method.name}"
        sent = [self._named(request).SerializeToString() for request in requests]
        metadata = [("x-request-id", REQUEST_ID)] if is_watched else []
        if self.secret is not None:
            metadata.append(("authorization", f"Bearer {self.secret}"))
        answer: Any = GetMessageClass(method.output_type)
        call = self.service.channel.stream_stream(path)(iter(sent), metadata=metadata)
        return [answer.FromString(response) async for response in call]

    def _named(self, request: Any) -> Message:
        """Name the party's user in a request, in the header of a stream, or in each call of a CallStream."""
        if self.user_id:
            for part in _parts(request):
                part.user_id = self.user_id
        return request  # type: ignore[no-any-return]


def _parts(request: Any) -> list[Any]:
    """Return the parts of a request that name a user."""
    fields = request.DESCRIPTOR.fields_by_name
    if "user_id" in fields:
        return [request]
    if "calls" in fields:
        return [getattr(call, call.WhichOneof("request")) for call in request.calls]
    return [request.header] if "header" in fields and request.HasField("header") else []
