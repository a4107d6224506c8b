"""The command that asks a server how it is."""

from __future__ import annotations

import sys
from typing import Any, Final

import click
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sessionhistory_server.cli._output import json_option, show
from sessionhistory_server.config import Address, option

_TIMEOUT_SECONDS: Final = 3


@click.command()
@option("listen", "The server to ask, by what it listens on.")
@json_option
def health(listen: Address, *, as_json: bool) -> None:
    """Ask a running server whether it is serving. Exits with 1 if it is not."""
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(listen.host, listen.host)  # noqa: S104 - what it listens on
    with grpc.insecure_channel(f"{host}:{listen.port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its methods are made at run time
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise click.ClickException(f"no answer from {host}:{listen.port}: {error.code().name}") from error
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    show({"status": status}, status, as_json=as_json)
    sys.exit(0 if status == "SERVING" else 1)
