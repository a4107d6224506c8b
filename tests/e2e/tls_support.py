"""Talk to a server with TLS below gRPC, and above it."""

from __future__ import annotations

import hashlib
import socket
import ssl
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sessionhistory.v1 import message_pb2, session_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from support.service import PATIENCE_SECONDS, SERVING, connect_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


def append(session_id: str = "s") -> pb.AppendMessageRequest:
    """Return a request that needs no session."""
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content="hello")
    return pb.AppendMessageRequest(
        session_id=session_id, message=message, new_session=session_pb2.SessionFields()
    )


@contextmanager
def stub(address: str, credentials: grpc.ChannelCredentials | None) -> Iterator[Any]:
    """Yield a stub on a connection of its own."""
    with connect_thread(address, credentials) as channel:
        yield pb_grpc.SessionHistoryServiceStub(channel)


def serves(address: str, credentials: grpc.ChannelCredentials | None) -> bool:
    """Return whether a new connection is accepted, and its call is answered."""
    with connect_thread(address, credentials) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return False
            raise
    return bool(answer.status == SERVING)


def connect(address: str) -> socket.socket:
    """Return a TCP connection."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)


def fingerprint(address: str, context: ssl.SSLContext) -> str:
    """Return the fingerprint of the certificate that a new connection gets."""
    with connect(address) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
        return hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()


def version(address: str, allowed: ssl.TLSVersion) -> str | None:
    """Return the version of TLS that a client gets that knows this one only; ``None``: it is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the versions that a server must refuse
        context.minimum_version = context.maximum_version = allowed
    try:
        with connect(address) as plain, context.wrap_socket(plain) as secure:
            return secure.version()
    except (ssl.SSLError, ConnectionResetError):
        return None
