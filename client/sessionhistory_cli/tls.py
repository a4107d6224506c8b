"""The files with which a command uses TLS, and the reason if a server cannot be called so."""

from __future__ import annotations

import re
import socket
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from sessionhistory import tls_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import grpc

_SECONDS: Final = 2.0
_ADDRESS: Final = re.compile(
    r"(?:(?:dns|ipv4|ipv6):(?:///)?)?(?P<host>\[[^\]]+\]|[^:/,\[\]]+):(?P<port>[0-9]+)"
)

# OpenSSL's codes.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_OTHER_HOST: Final = {62, 64}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of TLS, in PEM."""

    ca: Path | None
    """The authorities to trust; ``None``: those of the system."""
    cert: Path | None
    """The certificate of the client, with its key."""
    key: Path | None
    host: str | None = None
    """The host to find in the server's certificate; ``None``: that of the target."""

    def credentials(self) -> grpc.ChannelCredentials:
        """Return the credentials of a channel.

        Raises:
            click.UsageError: a file cannot be used.
        """
        try:
            return tls_credentials(self.ca, self.cert, self.key)
        except ValueError as error:
            raise click.UsageError(f"--ca, --cert, --key: {error}") from error


def diagnose(target: str, files: TlsFiles | None) -> str:
    """Return the fault and the remedy, if a connection of its own shows one of TLS; else an empty text.

    It takes a few seconds at most. gRPC reports most of these faults as a closed connection.

    Args:
        target: The target of the calls that failed.
        files: The files that they used; ``None``: plaintext.
    """
    match = _ADDRESS.fullmatch(target)
    if match is None:
        return ""
    host, port = match["host"].strip("[]"), int(match["port"])
    try:
        with _connection(host, port, _unverified()):
            pass
    except ssl.SSLError:
        return f"the server at {target} does not use TLS: call it with --plaintext" if files else ""
    except OSError:
        return ""
    if files is None:
        return f"the server at {target} uses TLS: add --tls, or name its authority with --ca"
    return _fault(target, host, port, files)


def _fault(target: str, host: str, port: int, files: TlsFiles) -> str:
    """Return the fault of a connection that verifies the server's certificate and shows the client's."""
    refused = f"the server at {target} requires a certificate of the client: name it with --cert and --key"
    if files.cert:
        refused = f"the server at {target} does not accept the certificate in {files.cert}"
    try:
        with _connection(host, port, _verified(files), files.host) as connection:
            # gRPC's servers send first.
            return "" if connection.recv(1) else refused
    except ssl.SSLCertVerificationError as error:
        return f"the certificate of {target} {_reason(error, files.ca)}"
    except TimeoutError:
        return ""
    except OSError:
        return refused


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


def _verified(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.ca)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as gRPC does
    context.set_alpn_protocols(["h2"])
    if files.cert:
        context.load_cert_chain(files.cert, files.key)
    return context


@contextmanager
def _connection(
    host: str, port: int, context: ssl.SSLContext, expected: str | None = None
) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection((host, port), _SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=expected or host) as secure,
    ):
        yield secure


def _reason(error: ssl.SSLCertVerificationError, ca: Path | None) -> str:
    if error.verify_code == _EXPIRED:
        return "has expired: its operator must replace it"
    if error.verify_code == _NOT_YET_VALID:
        return "is not yet valid: compare the clock of this machine"
    if error.verify_code in _OTHER_HOST:
        return "is for another host: call the server by a name of its certificate"
    trusted = f"in {ca}" if ca else "that this system trusts"
    return f"is of no authority {trusted} ({error.verify_message}): name its authority with --ca"
