"""The command that asks a server for its health."""

from __future__ import annotations

import re
import sys
from typing import Any, Final

import click
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sessionhistory._transport.targets import default_options
from sessionhistory_cli.json_output import show_result
from sessionhistory_cli.shared_options import SERVER_VARIABLE, json_option, server_option
from sessionhistory_server.config import variable

_TIMEOUT_SECONDS: Final = 3
_SERVING: Final = "SERVING"

# The service is SERVING while reads and writes are served; the empty name is SERVING while reads are served.
_SERVICE: Final = "sessionhistory.v1.SessionHistoryService"

# The command calls a server that listens on all addresses at the loopback address.
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - nothing is bound to it


@click.command()
@server_option(
    "server",
    variables=[SERVER_VARIABLE, variable("listen")],
    help_text=(
        "Address of the server, or a gRPC target. In a server's own environment, that server by default."
    ),
)
@json_option
def health(server: str, *, as_json: bool) -> None:
    """Check whether a running server is serving. Exits with 1 if it does not even serve reads."""
    target = re.sub(r"^(0\.0\.0\.0|\[::\])(?=:)", lambda listened: _LOOPBACK[listened[0]], server)
    with grpc.insecure_channel(target, default_options(target)) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its methods are made at run time
        try:
            reads, writes = (_status(stub, service) for service in ("", _SERVICE))
        except grpc.RpcError as error:
            raise click.ClickException(
                f"no answer from {target} ({error.code().name}): start a server with `session-history serve`,"
                " or name it with --server"
            ) from error
    is_limited = reads == _SERVING and writes != _SERVING
    text = f"{reads}, reads only: see `session-history check`" if is_limited else reads
    show_result({"status": reads, "writes": writes}, text, as_json=as_json)
    sys.exit(0 if reads == _SERVING else 1)


def _status(stub: Any, service: str) -> str:  # noqa: ANN401 - its methods are made at run time
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=_TIMEOUT_SECONDS)
    status: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return status
