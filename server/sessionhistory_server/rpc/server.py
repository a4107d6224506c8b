"""The gRPC server: the service, health and reflection behind one interceptor."""

from __future__ import annotations

import logging
from itertools import chain
from typing import TYPE_CHECKING, Final

import grpc.aio

from sessionhistory_server.limits import KIB, MAX_CALLS_OF_CONNECTION, MIB
from sessionhistory_server.listening import ListenError
from sessionhistory_server.rpc.dispatch import CREDENTIALS, HEALTH, SERVICE, methods_of, name_of
from sessionhistory_server.rpc.interceptor import Interceptor
from sessionhistory_server.rpc.reflection import REFLECTIONS, Reflection
from sessionhistory_server.rpc.tls import server_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sessionhistory_server.certificates import CertificateFiles
    from sessionhistory_server.config import Address
    from sessionhistory_server.rpc.accounting import Accounting
    from sessionhistory_server.rpc.dispatch import Method
    from sessionhistory_server.rpc.health import Health
    from sessionhistory_server.rpc.peers.watcher import PeerWatcher
    from sessionhistory_server.rpc.receive import Receiver

SERVICES: Final = (SERVICE, CREDENTIALS)
"""The services of the contract."""

_ALL: Final = (*SERVICES, HEALTH, *REFLECTIONS)

METHODS: Final = tuple(name_of(method) for service in _ALL for method in service.methods)
"""The methods whose calls are counted, by their names in the metrics."""

_MINUTE_MILLIS: Final = 60_000

# When a server that never ran is freed, gRPC logs it at debug. The record keeps a reference to freed memory.
logging.getLogger("grpc._cython.cygrpc").setLevel(logging.INFO)

OPTIONS: Final = (
    # Above the service's own limit, so that the service itself refuses. gRPC would answer RESOURCE_EXHAUSTED.
    ("grpc.max_receive_message_length", 8 * MIB),
    ("grpc.max_send_message_length", 4 * MIB),
    # If the two limits differed, gRPC would refuse requests between them at random.
    ("grpc.max_metadata_size", 16 * KIB),
    ("grpc.absolute_max_metadata_size", 16 * KIB),
    # Detect clients that have disappeared, and let clients detect that the server has disappeared.
    ("grpc.keepalive_time_ms", _MINUTE_MILLIS),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Limit the calls of a connection, and its age. The grace is for streams that last.
    ("grpc.max_concurrent_streams", MAX_CALLS_OF_CONNECTION),
    # The calls of all connections that wait in gRPC. Above the first limit gRPC drops calls of any caller at
    # random. Without a limit a flood takes a gigabyte, and blocks the worker for seconds.
    ("grpc.server.max_pending_requests", 8 * MAX_CALLS_OF_CONNECTION),
    ("grpc.server.max_pending_requests_hard_limit", 16 * MAX_CALLS_OF_CONNECTION),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 10 * _MINUTE_MILLIS),
    ("grpc.max_connection_age_ms", 60 * _MINUTE_MILLIS),
    ("grpc.max_connection_age_grace_ms", 60 * _MINUTE_MILLIS),
)


def build_server(  # noqa: PLR0913 - the parts of a server
    servicers: Sequence[object],
    health: Health,
    accounting: Accounting,
    receiver: Receiver,
    watcher: PeerWatcher,
    *,
    reflection: str,
    shares_port: bool,
    max_connections: int,
) -> grpc.aio.Server:
    """Return the server before it listens. Unless it shares its port, a second server there is an error.

    Raises:
        DispatchError: the servicers do not match the contract.
    """
    methods = chain(
        *(methods_of(service, servicers, accounting).values() for service in SERVICES),
        methods_of(HEALTH, (health,), accounting).values(),
        _reflection_methods(accounting, reflection),
    )
    # gRPC closes further connections at once.
    own = (
        ("grpc.so_reuseport", int(shares_port)),
        ("grpc.max_allowed_incoming_connections", max_connections),
    )
    server = grpc.aio.server(options=(*OPTIONS, *own))
    server.add_generic_rpc_handlers((Interceptor(methods, receiver, watcher),))
    return server


def _reflection_methods(accounting: Accounting, reflection: str) -> Iterator[Method]:
    """Yield the methods of reflection, which are open if the setting says so."""
    if reflection == "off":
        return
    servicer = Reflection(_ALL)
    for service in REFLECTIONS:
        for method in methods_of(service, (servicer,), accounting).values():
            yield method._replace(terms=method.terms._replace(is_open=reflection == "open"))


def bind(server: grpc.aio.Server, address: Address, certificates: CertificateFiles | None) -> int:
    """Let a server listen on an address, with TLS if there are certificates; return the port.

    Raises:
        ListenError: the address is in use, or not one of this machine.
    """
    try:
        if certificates is None:
            return server.add_insecure_port(str(address))
        return server.add_secure_port(str(address), server_credentials(certificates))
    except RuntimeError as error:
        raise ListenError(f"cannot serve gRPC on {address}: is another server there?") from error
