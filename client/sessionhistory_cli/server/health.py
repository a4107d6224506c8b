"""The command that asks a server for its health."""

from __future__ import annotations

import dataclasses
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import click
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sessionhistory._transport.targets import default_options
from sessionhistory_cli.endpoint import SERVER_VARIABLE, Endpoint, endpoint_options, names_a_server
from sessionhistory_cli.json_output import show_result
from sessionhistory_cli.shared_options import json_option
from sessionhistory_cli.tls import TlsFiles
from sessionhistory_server.certificates import CertificateError, host_of
from sessionhistory_server.config import option, variable

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_SECONDS: Final = 3
_SERVING: Final = "SERVING"

# The service is SERVING while reads and writes are served; the empty name is SERVING while reads are served.
_SERVICE: Final = "sessionhistory.v1.SessionHistoryService"

# The command calls a server that listens on all addresses at the loopback address.
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - nothing is bound to it


@click.command()
@endpoint_options(
    help_text=(
        "Address of the server, or a gRPC target. In a server's own environment, that server by default."
    ),
    variables=[SERVER_VARIABLE, variable("listen")],
)
@option("tls_cert", "In a server's own environment, its certificate: the command trusts this one only.")
@option("tls_key", "In a server's own environment, the key of its certificate.")
@option("tls_client_ca", "In a server's own environment: the command shows the server's certificate, too.")
@json_option
def health(
    endpoint: Endpoint,
    *,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    as_json: bool,
) -> None:
    """Check whether a running server is serving. Exits with 1 if it does not even serve reads."""
    if tls_cert and not names_a_server():
        endpoint = _own(endpoint, tls_cert, tls_key if tls_client_ca else None)
    target = re.sub(r"^(0\.0\.0\.0|\[::\])(?=:)", lambda listened: _LOOPBACK[listened[0]], endpoint.target)
    endpoint = dataclasses.replace(endpoint, target=target)
    with _channel(endpoint) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its methods are made at run time
        try:
            reads, writes = (_status(stub, service) for service in ("", _SERVICE))
        except grpc.RpcError as error:
            raise click.ClickException(
                endpoint.diagnose()
                or f"no answer from {target} ({error.code().name}): start a server with"
                " `session-history serve`, or name it with --server"
            ) from error
    is_limited = reads == _SERVING and writes != _SERVING
    text = f"{reads}, reads only: see `session-history check`" if is_limited else reads
    show_result({"status": reads, "writes": writes}, text, as_json=as_json)
    sys.exit(0 if reads == _SERVING else 1)


def _own(endpoint: Endpoint, cert: Path, key: Path | None) -> Endpoint:
    """Return the endpoint of the server with this certificate, which need not be for the loopback address.

    Args:
        endpoint: The address of the server. A client's certificate that it names is used.
        cert: The server's certificate.
        key: Its key, if the server requires a certificate of its clients.
    """
    try:
        host = host_of(cert)
    except CertificateError as error:
        raise click.UsageError(str(error)) from error
    client = endpoint.tls
    if client and client.cert:
        files = TlsFiles(cert, client.cert, client.key, host)
    else:
        files = TlsFiles(cert, cert if key else None, key, host)
    return Endpoint(endpoint.target, files)


def _channel(endpoint: Endpoint) -> grpc.Channel:
    options: list[tuple[str, int | str]] = [*default_options(endpoint.target)]
    if endpoint.tls is None:
        return grpc.insecure_channel(endpoint.target, options)
    if endpoint.tls.host:
        options.append(("grpc.ssl_target_name_override", endpoint.tls.host))
    return grpc.secure_channel(endpoint.target, endpoint.tls.credentials(), options)


def _status(stub: Any, service: str) -> str:  # noqa: ANN401 - its methods are made at run time
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=_TIMEOUT_SECONDS)
    status: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return status
