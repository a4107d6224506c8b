"""Find the servicer of each RPC of a service.

A servicer's method is an RPC if it is decorated with ``rpc``. The decorator names the scope that the caller
needs, the function that checks the request, and the administrative act for the trail.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2

from sessionhistory.v1 import credentials_service_pb2 as credentials_pb
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
    from google.protobuf.message import Message

    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.rpc.accounting import Accounting, Record
    from sessionhistory_server.rpc.validation.checks import Checks

S = TypeVar("S")
Q = TypeVar("Q")
R = TypeVar("R")

_HEALTH: Any = health_pb2.DESCRIPTOR.services_by_name["Health"]
HEALTH: Final[ServiceDescriptor] = _HEALTH
SERVICE: Final = pb.DESCRIPTOR.services_by_name["SessionHistoryService"]
CREDENTIALS: Final = credentials_pb.DESCRIPTOR.services_by_name["CredentialsService"]

_RPC: Final = "__rpc__"


class DispatchError(Exception):
    """The servicers do not match the contract. This is a defect of the release."""


class Terms(NamedTuple):
    """The terms of an RPC: the scope that its caller needs, the rules of its requests, and its act."""

    scope: str | None
    check: Callable[[Checks, Any], None] | None
    is_large: bool
    lasts: bool
    act: Callable[[Any], str] | None = None
    is_open: bool = False
    """Whether a caller needs no credential, even if the server asks for them."""


class Method(NamedTuple):
    """An RPC: its terms, the servicer's method, and the types of its messages."""

    name: str
    """The name in metrics and logs: without the service's name if the service is this project's."""
    path: str
    terms: Terms
    call: Callable[[Caller, Any, Any], Awaitable[None]]
    request_type: type[Message]
    response_type: type[Message]
    user_of: Callable[[Any], str]
    """A function that returns the user that a request names, or an empty string."""
    session_of: Callable[[Any], str]
    """The same for the session; it takes the argument of ``call``, which for a stream is a ``Reader``."""
    streams_requests: bool
    streams_responses: bool
    is_vital: bool
    """Whether operators need the method most when the server is overloaded: health, reflection and keys."""
    record: Record
    """Counts and logs a call that has ended: the recorder of ``Accounting``."""


def rpc(
    scope: str | None,
    check: Callable[[Checks, Q], None] | None = None,
    *,
    is_large: bool = False,
    lasts: bool = False,
    act: Callable[[Q], str] | None = None,
    is_open: bool = False,
) -> Callable[[Callable[[S, Caller, Q, R], Awaitable[None]]], Callable[[S, Caller, Q, R], Awaitable[None]]]:
    """Mark a method of a servicer as the RPC with the same name.

    Args:
        scope: The scope that the caller needs; ``None``: none.
        check: Checks the rules of a request.
        is_large: Whether a response may be large. Such a call reserves memory, so it must not wait for locks.
        lasts: Whether a call may last until its caller ends it or the server stops.
        act: Returns the name of the administrative act that a request asks for, or an empty string; ``None``:
            the RPC is no administrative act.
        is_open: Whether a caller needs no credential, even if the server asks for them.
    """

    def mark(
        method: Callable[[S, Caller, Q, R], Awaitable[None]],
    ) -> Callable[[S, Caller, Q, R], Awaitable[None]]:
        setattr(method, _RPC, Terms(scope, check, is_large, lasts, act, is_open))
        return method

    return mark


def name_of(method: MethodDescriptor) -> str:
    """Return the name of a method in metrics and logs. Methods of other services have their full name."""
    service = method.containing_service
    return method.name if service in {SERVICE, CREDENTIALS} else f"{service.full_name}/{method.name}"


def methods_of(
    service: ServiceDescriptor, servicers: Sequence[object], accounting: Accounting
) -> dict[str, Method]:
    """Return the methods of a service by their names in the contract. ``rpc.server`` calls it at the start.

    Raises:
        DispatchError: no servicer has a method, or two have it.
    """
    owners = _owners(service, servicers)
    return {
        name: method_of(service.methods_by_name[name], owner, accounting) for name, owner in owners.items()
    }


def _owners(service: ServiceDescriptor, servicers: Sequence[object]) -> Mapping[str, object]:
    """Return the servicer of each method."""
    names = [method.name for method in service.methods]
    owners = {name: [each for each in servicers if name in set(_rpcs(each))] for name in names}
    missing = [name for name in names if not owners[name]]
    if missing:
        raise DispatchError(f"no servicer has these RPCs of {service.full_name}: {', '.join(missing)}")
    doubled = [
        f"{name} ({', '.join(type(owner).__name__ for owner in owners[name])})"
        for name in names
        if len(owners[name]) > 1
    ]
    if doubled:
        raise DispatchError(f"two servicers have the same RPC of {service.full_name}: {', '.join(doubled)}")
    return {name: owner for name, (owner,) in owners.items()}


def _rpcs(servicer: object) -> Iterator[str]:
    for kind in type(servicer).__mro__:
        for name, member in vars(kind).items():
            if _RPC in getattr(member, "__dict__", ()):
                yield name


def method_of(method: MethodDescriptor, servicer: object, accounting: Accounting) -> Method:
    """Return the method that a servicer has for a method of the contract."""
    call = getattr(servicer, method.name)
    terms: Terms = getattr(call, _RPC)
    is_stream = method.client_streaming or method.server_streaming
    return Method(
        name_of(method),
        f"/{method.containing_service.full_name}/{method.name}",
        terms,
        call,
        GetMessageClass(method.input_type),
        GetMessageClass(method.output_type),
        _text_of(method.input_type, "user_id"),
        _session_of(method),
        streams_requests=method.client_streaming,
        streams_responses=method.server_streaming,
        is_vital=method.containing_service is not SERVICE,
        record=accounting.recorder_of(name_of(method), is_stream=is_stream, lasts=terms.lasts),
    )


def _text_of(request: Descriptor, name: str) -> Callable[[Any], str]:
    """Return a function that reads a field from a request. In a stream, the header has the field."""
    fields = request.fields_by_name
    if name in fields:
        return attrgetter(name)
    header = fields["header"].message_type if "header" in fields else None
    if header is not None and name in header.fields_by_name:
        return attrgetter(f"header.{name}")
    return lambda _: ""


def _session_of(method: MethodDescriptor) -> Callable[[Any], str]:
    """Return a function that reads the session from a request, or from the first one of a stream."""
    read = _text_of(method.input_type, "session_id")
    if not method.client_streaming:
        return read
    return lambda reader: "" if reader.first is None else read(reader.first)
