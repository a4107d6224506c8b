"""Peers without a credential: they hold bounded memory and connections, and callers with a key are served.

The server asks for keys, with TLS and without.
"""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import leaks
import pytest
from attacked import BOUND_MIB, MAX_MEMORY_MIB, MIB

from sessionhistory.v1 import message_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.limits import MAX_WATCHES
from support import http2
from support.certificates import Authority
from support.processes import COMMAND, run
from support.service import connect_thread
from support.waiting import eventually

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.processes import Server

    Start = Callable[..., Server]

_SETTINGS = ("--workers", "1", "--max-memory-mib", str(MAX_MEMORY_MIB))
_SENDERS = 2
_CUT = "connections without calls ended: too much data"
_FILES = 256
_CONNECTIONS = 400
_WATCH = b"/grpc.health.v1.Health/Watch"
_APPEND = "/sessionhistory.v1.SessionHistoryService/AppendMessage"
_CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
_EMPTY_SETTINGS = http2.PREFACE + http2.frame_of(http2.SETTINGS, 0, 0)
_PATIENCE_SECONDS = 30


class Guarded(NamedTuple):
    """A server of one worker that asks for keys, and a key."""

    server: Server
    address: str
    worker: int
    key: str
    context: ssl.SSLContext | None
    """TLS of a client; ``None``: none."""
    credentials: grpc.ChannelCredentials | None

    @property
    def memory_mib(self) -> float:
        """The resident memory of the worker."""
        return leaks.resident_bytes(self.worker) / MIB

    def connect(self, *, handshake: bool = True) -> socket.socket:
        """Return a connection, with TLS if the server has it, unless the handshake is left out."""
        host, _, port = self.address.rpartition(":")
        plain = socket.create_connection((host, int(port)), timeout=_PATIENCE_SECONDS)
        if self.context is None or not handshake:
            return plain
        return self.context.wrap_socket(plain, server_hostname=host)

    def open(self) -> grpc.Channel:
        """Return a new connection of a good caller."""
        return connect_thread(self.address, self.credentials)

    def append(self, channel: grpc.Channel) -> None:
        """Append a message as a good caller."""
        message: Any = {"role": message_pb2.ROLE_USER, "content": "hello"}
        request = pb.AppendMessageRequest(session_id="s", message=message, new_session={})
        metadata = (("authorization", f"Bearer {self.key}"),)
        call: Any = channel.unary_unary(_APPEND)
        call(request.SerializeToString(), metadata=metadata, timeout=_PATIENCE_SECONDS)

    def serves_newcomers(self) -> bool:
        """Return whether a good caller on a new connection is served."""
        with self.open() as channel, suppress(grpc.RpcError):
            self.append(channel)
            return True
        return False


@pytest.fixture(params=["plaintext", "tls"])
def guarded(request: pytest.FixtureRequest, database_url: str, start: Start, tmp_path: Path) -> Guarded:
    """The server may open few files."""
    made = run("keys", "create", "--scope", "write", "--database-url", database_url)
    assert made.returncode == 0, made.stderr
    authority = Authority(tmp_path / "authority")
    is_secure = request.param == "tls"
    limited = ("sh", "-euc", f'ulimit -n {_FILES}; exec "$@"', "sh", COMMAND, "serve")
    flags = ("--listen", "127.0.0.1:0", "--auth", "keys", "--log-format", "json")
    pair = authority.issue("server").flags if is_secure else ()
    server = start(*flags, *_SETTINGS, *pair, "--database-url", database_url, command=limited)
    server.wait_for("database: ready")
    (worker,) = leaks.workers(server)
    context, credentials = (authority.context(), authority.credentials()) if is_secure else (None, None)
    return Guarded(server, server.address(), worker, made.stdout.strip(), context, credentials)


def _many_headers() -> Iterator[bytes]:
    """Yield requests of headers alone, each with a thousand of them."""
    headers = http2.fields_of(_WATCH, *((b"x%d" % number, b"y") for number in range(1_000)))
    for stream in range(1, 1_001, 2):
        yield http2.frame_of(http2.HEADERS, http2.END_HEADERS, stream, headers)


def _huge_header() -> Iterator[bytes]:
    """Yield requests with a header of a mebibyte, in frames of the largest size."""
    block = http2.fields_of(_WATCH, (b"authorization", b"Bearer " + b"x" * MIB))
    pieces = [block[place : place + 16_384] for place in range(0, len(block), 16_384)]
    for stream in range(1, 65, 2):
        yield http2.frame_of(http2.HEADERS, 0, stream, pieces[0])
        for piece in pieces[1:-1]:
            yield http2.frame_of(http2.CONTINUATION, 0, stream, piece)
        yield http2.frame_of(http2.CONTINUATION, http2.END_HEADERS, stream, pieces[-1])


def _empty_headers() -> Iterator[bytes]:
    """Yield the beginning of headers, and many frames without any more."""
    yield http2.frame_of(http2.HEADERS, 0, 1, http2.fields_of(_WATCH))
    for _ in range(4_000):
        yield http2.frame_of(http2.CONTINUATION, 0, 1)


def _endless_headers() -> Iterator[bytes]:
    """Yield headers that never end."""
    yield http2.frame_of(http2.HEADERS, 0, 1, http2.fields_of(_WATCH))
    while True:
        yield http2.frame_of(http2.CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 3_000)


_HEADERS: dict[str, Callable[[], Iterator[bytes]]] = {
    "many headers": _many_headers,
    "a huge header": _huge_header,
    "empty frames": _empty_headers,
}


def _send(guarded: Guarded, frames: Iterator[bytes]) -> None:
    """Send frames on a new connection until the server closes it, and read nothing."""
    with suppress(OSError), guarded.connect() as connection:
        connection.sendall(_EMPTY_SETTINGS)
        for frame in frames:
            connection.sendall(frame)


@pytest.mark.parametrize("kind", _HEADERS)
def test_floods_of_headers(guarded: Guarded, kind: str) -> None:
    """They take bounded memory, and a good caller is answered meanwhile."""
    with guarded.open() as channel:
        guarded.append(channel)
        senders = [threading.Thread(target=_send, args=(guarded, _HEADERS[kind]())) for _ in range(_SENDERS)]
        for sender in senders:
            sender.start()
        peak = 0.0
        while any(sender.is_alive() for sender in senders):
            guarded.append(channel)
            peak = max(peak, guarded.memory_mib)
    assert guarded.serves_newcomers()
    assert peak < BOUND_MIB
    eventually(lambda: guarded.memory_mib < MAX_MEMORY_MIB)
    assert leaks.workers(guarded.server) == [guarded.worker]


def test_headers_that_never_end(guarded: Guarded) -> None:
    """The server ends the connection, which would keep one of gRPC's threads busy."""
    with guarded.open() as channel:
        guarded.append(channel)
        sender = threading.Thread(target=_send, args=(guarded, _endless_headers()), daemon=True)
        sender.start()
        eventually(lambda: _CUT in guarded.server.log)
        guarded.append(channel)
    assert guarded.memory_mib < MAX_MEMORY_MIB
    assert leaks.workers(guarded.server) == [guarded.worker]


def test_large_requests_that_are_refused(guarded: Guarded) -> None:
    """Their connection stays, though the server reads no request without a credential."""
    data = bytes(3 * MIB)
    with guarded.open() as channel:
        call: Any = channel.unary_unary(_APPEND)
        for _ in range(20):
            with pytest.raises(grpc.RpcError) as caught:
                call(data, timeout=_PATIENCE_SECONDS)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        guarded.append(channel)
    assert _CUT not in guarded.server.log


@pytest.mark.parametrize("said", [b"", _CLIENT_HELLO, _EMPTY_SETTINGS], ids=["nothing", "half", "ready"])
def test_more_connections_than_files(guarded: Guarded, said: bytes) -> None:
    """A worker keeps the files that it needs, and ends connections without calls; a good caller goes on."""
    with ExitStack() as stack:
        good = stack.enter_context(guarded.open())
        guarded.append(good)
        for _ in range(_CONNECTIONS):
            connection = stack.enter_context(guarded.connect(handshake=False))
            with suppress(OSError):
                connection.sendall(said)
        guarded.append(good)
        eventually(guarded.serves_newcomers)
        guarded.append(good)
    assert leaks.workers(guarded.server) == [guarded.worker]
    assert not [event for event in guarded.server.events if event["level"] == "error"]


def test_more_watches_than_a_worker_serves(guarded: Guarded) -> None:
    """A watch of health needs no key, and lasts. Too many are refused, and calls are served."""
    refused = threading.Semaphore(0)
    with ExitStack() as stack:
        for _ in range(MAX_WATCHES // 200 + 2):
            connection = http2.Connection(stack.enter_context(guarded.connect()), {})
            for stream in range(1, 401, 2):
                connection.request(stream, _WATCH)
                connection.message(stream, b"")
            threading.Thread(target=_count_ends, args=(connection, refused), daemon=True).start()
        assert refused.acquire(timeout=_PATIENCE_SECONDS)
        assert guarded.serves_newcomers()
        assert guarded.memory_mib < MAX_MEMORY_MIB
    eventually(guarded.serves_newcomers)


def _count_ends(connection: http2.Connection, ended: threading.Semaphore) -> None:
    with suppress(OSError, ValueError):
        for frame in connection.frames():
            if frame.kind == http2.HEADERS and frame.flags & http2.END_STREAM:
                ended.release()
