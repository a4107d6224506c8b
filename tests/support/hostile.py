"""A peer that writes HTTP/2 itself, so that it can break rules that a gRPC client keeps.

It opens the window of an answer only on request, and sends as much of a request as the test wants.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_INITIAL_WINDOW_SIZE: Final = 4
_DEFAULT_WINDOW: Final = 65_535
_FRAME_BYTES: Final = 16_384
_PATIENCE_SECONDS: Final = 30


class Peer:
    """One connection to a server.

    Args:
        address: HOST:PORT of the server.
        window: How many bytes of each answer the server may send.
    """

    def __init__(self, address: str, *, window: int = 0) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=_PATIENCE_SECONDS)
        self._socket.settimeout(None)  # a silent server must not look like one that has closed the connection
        self._window = _DEFAULT_WINDOW
        self._initial = _DEFAULT_WINDOW
        self._stream_windows: dict[int, int] = {}
        self._changed = threading.Condition()
        self._next = 1
        self.ended = threading.Event()
        """Set when the server has ended the connection."""
        self.finished: set[int] = set()
        """The streams that the server has ended."""
        self._send(_PREFACE + _frame(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW_SIZE, window)))
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        """Return the peer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def begin(self, path: str, **headers: str) -> int:
        """Send only the headers of a call; return its stream."""
        stream, self._next = self._next, self._next + 2
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "localhost",
            "te": "trailers",
            "content-type": "application/grpc",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        with self._changed:
            self._stream_windows[stream] = self._initial
        self._send(_frame(_HEADERS, _END_HEADERS, stream, b"".join(_fields(fields.items()))))
        return stream

    def call(self, path: str, request: bytes, **headers: str) -> int:
        """Make a whole call; return its stream."""
        stream = self.begin(path, **headers)
        self.send(stream, message(request), end=True)
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send data of a call as far as the server's windows allow.

        Raises:
            OSError: the server has closed the connection, or accepts no more data.
        """
        while True:
            part = data[: self._room(stream, len(data))]
            data = data[len(part) :]
            self._send(_frame(_DATA, _END_STREAM if end and not data else 0, stream, part))
            if not data:
                return

    @property
    def is_done_with(self) -> bool:
        """Whether the server has answered every call completely, or has closed the connection."""
        return self.ended.is_set() or len(self.finished) == len(self._stream_windows)

    def _room(self, stream: int, wanted: int) -> int:
        """Wait for room in both windows; take and return up to the wanted size."""
        with self._changed:
            room = 0
            if wanted and not self._changed.wait_for(
                lambda: self.ended.is_set() or min(self._window, self._stream_windows[stream]) > 0,
                _PATIENCE_SECONDS,
            ):
                raise TimeoutError
            if wanted:
                room = min(wanted, self._window, self._stream_windows[stream], _FRAME_BYTES)
                room = max(room, 0) or min(wanted, _FRAME_BYTES)
            self._window -= room
            self._stream_windows[stream] -= room
            return room

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _read(self) -> None:
        with suppress(OSError), self._socket.makefile("rb") as stream:
            while len(head := stream.read(9)) == 9:
                size = int.from_bytes(head[:3])
                self._took(head[3], head[4], int.from_bytes(head[5:]) & 0x7FFF_FFFF, stream.read(size))
        self.ended.set()
        with self._changed:
            self._changed.notify_all()

    def _took(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _WINDOW_UPDATE:
            self._grow(stream, int.from_bytes(payload))
        elif kind == _SETTINGS and not flags & _ACK:
            for number, value in struct.iter_unpack(">HI", payload):
                if number == _INITIAL_WINDOW_SIZE:
                    self._resize(value)
            self._send(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._send(_frame(_PING, _ACK, 0, payload))
        elif kind == _RST_STREAM or (kind in {_DATA, _HEADERS} and flags & _END_STREAM):
            self.finished.add(stream)

    def _grow(self, stream: int, size: int) -> None:
        with self._changed:
            if stream:
                self._stream_windows[stream] = self._stream_windows.get(stream, self._initial) + size
            else:
                self._window += size
            self._changed.notify_all()

    def _resize(self, initial: int) -> None:
        with self._changed:
            change, self._initial = initial - self._initial, initial
            self._stream_windows = {s: size + change for s, size in self._stream_windows.items()}
            self._changed.notify_all()


def message(data: bytes) -> bytes:
    """Return a message as gRPC frames it."""
    return b"\0" + struct.pack(">I", len(data)) + data


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def _fields(fields: Iterable[tuple[str, str]]) -> Iterable[bytes]:
    """Yield headers as HPACK literals that are neither indexed nor compressed."""
    for name, value in fields:
        yield b"\x10" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    data = text.encode()
    assert len(data) < 127, "longer ones need more bytes for their length"
    return bytes((len(data),)) + data
