"""Floods of HTTP/2 frames that no honest caller sends, each kind on connections of its own."""

from __future__ import annotations

import gzip
import random
import socket
import struct
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from support import http2
from support.hostile import Peer
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

_SERVICE = b"/sessionhistory.v1.SessionHistoryService/"
_CALL = http2.fields_of(_SERVICE + b"GetSession")
_CANCEL = struct.pack(">I", 8)
_TIMEOUT_SECONDS = 10
_BOMB_BYTES = 64 << 20


def streams(count: int, *frames: tuple[int, int, bytes]) -> bytes:
    """Return this many requests of headers and these frames, given by type, flags and payload."""
    return b"".join(
        http2.frame_of(http2.HEADERS, http2.END_HEADERS, stream, _CALL)
        + b"".join(http2.frame_of(kind, flags, stream, payload) for kind, flags, payload in frames)
        for stream in range(1, 2 * count, 2)
    )


def _garbage() -> bytes:
    randomness = random.Random(0)
    return b"".join(
        http2.frame_of(
            randomness.randrange(12),
            randomness.randrange(256),
            randomness.randrange(9),
            randomness.randbytes(9),
        )
        for _ in range(20)
    )


def _header_bomb() -> bytes:
    """Return a header of 3,900 bytes that HPACK's table keeps, and 8,000 more of one byte each."""
    name = b"\x40\x01a" + b"\x7f" + _hpack_rest(3_900 - 127) + b"a" * 3_900
    return http2.frame_of(http2.HEADERS, http2.END_HEADERS, 1, _CALL + name + b"\xbe" * 8_000)


def _hpack_rest(number: int) -> bytes:
    return bytes([number % 128 + 128, number // 128])


# By name: the number of requests in the bytes, and the bytes to send on one connection.
_RAW: dict[str, tuple[int, bytes]] = {
    "rapid resets": (500, streams(500, (http2.RST_STREAM, 0, _CANCEL))),
    "half requests": (200, streams(200, (http2.DATA, 0, bytes(3)))),
    "headers alone": (200, streams(200)),
    "huge lengths": (100, streams(100, (http2.DATA, http2.END_STREAM, b"\0\xff\xff\xff\xff" + bytes(9)))),
    "pings": (1, streams(1) + http2.frame_of(http2.PING, 0, 0, bytes(8)) * 2_000),
    "settings": (1, streams(1) + http2.frame_of(http2.SETTINGS, 0, 0) * 2_000),
    "empty continuations": (
        1,
        http2.frame_of(http2.HEADERS, 0, 1, _CALL) + http2.frame_of(http2.CONTINUATION, 0, 1) * 5_000,
    ),
    "garbage": (1, _garbage()),
    "header bombs": (1, _header_bomb()),
}


def _raw(name: str, address: str) -> int:
    """Send a kind's bytes on a connection, close it after the server has; return the number of requests."""
    host, _, port = address.rpartition(":")
    count, data = _RAW[name]
    with suppress(OSError), socket.create_connection((host, int(port)), _TIMEOUT_SECONDS) as connection:
        reader = threading.Thread(target=_read, args=(connection,))
        reader.start()
        try:
            connection.sendall(http2.PREFACE + http2.frame_of(http2.SETTINGS, 0, 0) + data)
            connection.shutdown(socket.SHUT_WR)
        finally:
            reader.join(_TIMEOUT_SECONDS)
    return count


def _read(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(65_536):
            pass


def _gzip_bombs(address: str) -> int:
    """Send messages of 64 KiB that are 64 MiB when they are decompressed."""
    packed = gzip.compress(bytes(_BOMB_BYTES))
    with suppress(OSError), Peer(address) as peer:
        for _ in range(4):
            stream = peer.begin(f"{_SERVICE.decode()}AppendMessage", grpc_encoding="gzip")
            peer.send(stream, b"\x01" + struct.pack(">I", len(packed)) + packed, end=True)
        eventually(lambda: peer.is_done_with, patience_seconds=_TIMEOUT_SECONDS)
    return 4


KINDS: dict[str, tuple[Callable[[str], int], int]] = {
    **{name: (partial(_raw, name), 1) for name in _RAW},
    "gzip bombs": (_gzip_bombs, 10),
}
"""By name: a function that floods an address on one connection and returns its number of requests; and a
divisor of the number of connections, which is larger for a slow kind.
"""


def bad_path(address: str) -> None:
    """Send a request whose path is not UTF-8, and wait for any answer or the end of the connection."""
    with suppress(OSError), http2.Connection.to(address) as connection:
        connection.request(1, b"/\xff\xfe")
        connection.message(1, b"")
        for frame in connection.frames():
            if frame.kind in {http2.RST_STREAM, http2.GOAWAY}:
                return
