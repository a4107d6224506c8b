"""The gRPC server: our service, health and reflection under one wrapping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from grpc_reflection.v1alpha.reflection import aio as aio_reflection

from sessionhistory_server.limits import MIB
from sessionhistory_server.rpc.calls import Calls
from sessionhistory_server.rpc.handlers import SERVICE, generic_handler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionhistory_server.config import Settings
    from sessionhistory_server.metrics import Metrics
    from sessionhistory_server.rpc.base import Servicer
    from sessionhistory_server.rpc.health import Health
    from sessionhistory_server.rpc.pieces import OpenStreams

METHODS: Final = (*(method.name for method in SERVICE.methods), f"{health.SERVICE_NAME}/Check")
"""The methods whose calls are counted, by the names that the metrics show."""

OPTIONS: Final = (
    # Above our own limit, so that ours answers. gRPC's answer would be RESOURCE_EXHAUSTED.
    ("grpc.max_receive_message_length", 32 * MIB),
    ("grpc.max_send_message_length", 4 * MIB),
    # Notice clients that are gone, and let clients notice that we are.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


def build_server(
    settings: Settings,
    servicers: Sequence[Servicer],
    metrics: Metrics,
    serving: Health,
    streams: OpenStreams,
    *,
    shares_port: bool,
) -> grpc.aio.Server:
    """Return the server, not yet listening. Unless it shares its port, another on it is an error."""
    calls = Calls(metrics, slow_call_millis=settings.slow_call_millis)
    handler = generic_handler(servicers, settings, streams)
    calls.add_generic_rpc_handlers((handler,))
    reflected = aio_reflection.ReflectionServicer(
        (SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
    )
    health_pb2_grpc.add_HealthServicer_to_server(serving, calls)  # type: ignore[arg-type] # as a server is
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflected, calls)  # type: ignore[no-untyped-call]
    server = grpc.aio.server(options=(*OPTIONS, ("grpc.so_reuseport", int(shares_port))))
    server.add_generic_rpc_handlers((calls,))
    return server
