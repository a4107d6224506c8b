"""Serve the metrics over HTTP: only GET and HEAD of ``/metrics``.

The server runs on the event loop of the service, so it does not answer when that loop hangs. The connections,
the bytes of a request and the time for each request are limited.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from sessionhistory_server.observability.counters import Metrics

MAX_CONNECTIONS: Final = 32
"""If there are this many, a new connection ends the oldest one."""

MAX_REQUEST_BYTES: Final = 8_192
REQUEST_SECONDS: Final = 3.0
RESPONSE_SECONDS: Final = 10.0

_CLOSE_SECONDS: Final = 1.0
_PATH: Final = "/metrics"
_METHODS: Final = ("GET", "HEAD")


class _Request(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]


class _Response(NamedTuple):
    status: HTTPStatus
    headers: Mapping[str, str]
    body: bytes


class MetricsServer:
    """An HTTP server for Prometheus, with one request for each connection."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], None] = {}

    async def start(self, listener: socket.socket) -> None:
        """Serve on a listening socket, and close it at the stop."""
        self._server = await asyncio.start_server(self._connected, sock=listener, limit=MAX_REQUEST_BYTES)

    async def stop(self) -> None:
        """Close the socket and all connections."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        if len(self._connections) >= MAX_CONNECTIONS:
            next(iter(self._connections)).cancel()
        self._connections[task] = None
        try:
            await self._answer(reader, writer)
            writer.close()
        except (asyncio.CancelledError, TimeoutError, OSError, EOFError):
            writer.transport.abort()
        finally:
            del self._connections[task]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(REQUEST_SECONDS):
            received = await _request(reader)
        async with asyncio.timeout(RESPONSE_SECONDS):
            if isinstance(received, HTTPStatus):
                response, has_body = _refusal(received), True
            else:
                response, has_body = await self._response(received), received.method != "HEAD"
            writer.transport.set_write_buffer_limits(high=0)  # `drain` returns when all bytes are sent
            writer.write(_head(response) + (response.body if has_body else b""))
            await writer.drain()

    async def _response(self, request: _Request) -> _Response:
        if request.method not in _METHODS:
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, Allow=", ".join(_METHODS))
        if request.path != _PATH:
            return _refusal(HTTPStatus.NOT_FOUND)
        # In a thread, because formatting takes as long as several calls.
        return await asyncio.to_thread(self._metrics_response, request.headers)

    def _metrics_response(self, headers: Mapping[str, str]) -> _Response:
        # prometheus_client takes a twentieth of the start of a server to import.
        from sessionhistory_server.observability.prometheus import format_metrics  # noqa: PLC0415 - see above

        accept, encoding = headers.get("accept", ""), headers.get("accept-encoding", "")
        return _Response(
            HTTPStatus.OK, *format_metrics(self._metrics, accept=accept, accept_encoding=encoding)
        )


async def _request(reader: asyncio.StreamReader) -> _Request | HTTPStatus:
    """Return the next request, or the status that refuses it. The body of a request is not read."""
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.LimitOverrunError:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    line, *fields = text.split("\r\n")
    parts = line.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        return HTTPStatus.BAD_REQUEST
    pairs = (field.partition(":") for field in fields)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return _Request(parts[0], parts[1].partition("?")[0], headers)


def _refusal(status: HTTPStatus, **headers: str) -> _Response:
    return _Response(status, {"Content-Type": "text/plain", **headers}, f"{status.phrase}\n".encode())


def _head(response: _Response) -> bytes:
    length = {"Content-Length": str(len(response.body)), "Connection": "close"}
    fields = (f"{name}: {value}" for name, value in {**response.headers, **length}.items())
    line = f"HTTP/1.1 {response.status.value} {response.status.phrase}"
    return "\r\n".join((line, *fields, "", "")).encode("latin-1")
