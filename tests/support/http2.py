"""An HTTP/2 client that writes its frames by hand, so that it can send what no library would send."""

from __future__ import annotations

import socket
import struct
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
INITIAL_WINDOW_SIZE = 4

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD_BYTES = 9
_TIMEOUT_SECONDS = 30
_LONG = 127  # the largest length that fits into the prefix of a literal


class Frame(NamedTuple):
    """A frame as it was received."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class Connection:
    """A connection to a server, on which the preface and the settings have been sent."""

    def __init__(self, plain: socket.socket, settings: Mapping[int, int]) -> None:
        self._socket = plain
        plain.sendall(PREFACE)
        self.send(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *each) for each in settings.items()))

    @classmethod
    @contextmanager
    def to(cls, address: str, settings: Mapping[int, int] = MappingProxyType({})) -> Iterator[Connection]:
        """Connect to HOST:PORT for the length of the block."""
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=_TIMEOUT_SECONDS) as plain:
            yield cls(plain, settings)

    def send(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> None:
        """Send a frame of any type and content."""
        self._socket.sendall(frame_of(kind, flags, stream, payload))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes that are not a frame."""
        self._socket.sendall(data)

    def request(
        self, stream: int, path: bytes, *headers: tuple[bytes, bytes], authority: bytes = b"localhost"
    ) -> None:
        """Begin a gRPC call: send its headers, which may be any bytes, and leave the stream open."""
        self.send(HEADERS, END_HEADERS, stream, fields_of(path, *headers, authority=authority))

    def message(self, stream: int, body: bytes, *, last: bool = True) -> None:
        """Send a gRPC message in one frame, and end the stream unless more follows."""
        self.send(DATA, END_STREAM if last else 0, stream, struct.pack(">BI", 0, len(body)) + body)

    def widen(self, stream: int, by_bytes: int) -> None:
        """Let the server send more on a stream; 0 means the connection."""
        self.send(WINDOW_UPDATE, 0, stream, struct.pack(">I", by_bytes))

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end of the connection."""
        head = self._exactly(_HEAD_BYTES)
        if head is None:
            return None
        length = int.from_bytes(head[:3])
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        payload = self._exactly(length)
        return None if payload is None else Frame(kind, flags, stream, payload)

    def frames(self) -> Iterator[Frame]:
        """Yield frames until the connection ends; acknowledge settings and pings."""
        while frame := self.read():
            if frame.kind in {SETTINGS, PING} and not frame.flags & ACK:
                self.send(frame.kind, ACK, 0, frame.payload if frame.kind == PING else b"")
            yield frame

    def _exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            try:
                piece = self._socket.recv(count - len(data))
            except ConnectionResetError:
                return None
            if not piece:
                return None
            data += piece
        return data


def frame_of(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return the bytes of a frame of any type and content."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def fields_of(path: bytes, *headers: tuple[bytes, bytes], authority: bytes = b"localhost") -> bytes:
    """Return the headers of a gRPC call, which may be any bytes, as HPACK literals."""
    fields = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", authority),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *headers,
    )
    return b"".join(b"\x00" + _literal(name) + _literal(value) for name, value in fields)


def _literal(value: bytes) -> bytes:
    """Return a string as an HPACK literal without Huffman coding."""
    if len(value) < _LONG:
        return bytes([len(value)]) + value
    rest, encoded = len(value) - _LONG, bytearray([_LONG])
    while rest >= 128:
        encoded.append(rest % 128 + 128)
        rest //= 128
    return bytes([*encoded, rest]) + value
