"""The command that asks a server how it is."""

from __future__ import annotations

import re
import sys
from typing import Any, Final

import click
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sessionhistory_server.cli._output import json_option, show
from sessionhistory_server.config import Settings, variable

_TIMEOUT_SECONDS: Final = 3

# What a server listens on if it does on all addresses, and one of them to ask it at.
_ALL: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - as said


@click.command()
@click.option(
    "--server",
    metavar="HOST:PORT",
    envvar=[variable("server"), variable("listen")],
    show_envvar=True,
    default=str(Settings().listen),
    help="Address of the server, or a gRPC target. In a server's own environment, that server by default.",
)
@json_option
def health(server: str, *, as_json: bool) -> None:
    """Check whether a running server is serving. Exits with 1 if it is not."""
    target = re.sub(r"^(0\.0\.0\.0|\[::\])(?=:)", lambda listened: _ALL[listened[0]], server)
    with grpc.insecure_channel(target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its methods are made at run time
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise click.ClickException(
                f"no answer from {target} ({error.code().name}): start a server with `session-history serve`,"
                " or name it with --server"
            ) from error
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    show({"status": status}, status, as_json=as_json)
    sys.exit(0 if status == "SERVING" else 1)
