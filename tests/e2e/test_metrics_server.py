"""The metrics port: its answers and its limits."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import threading
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sessionhistory_server.config import Address
from sessionhistory_server.observability.metrics_server import MAX_CONNECTIONS, MAX_REQUEST_BYTES
from support.metrics import Metrics
from support.proxy import free_port
from support.service import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

_SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest_asyncio.fixture
async def port(serve: Serve, database_url: str) -> int:
    """The metrics port of a service."""
    port = free_port()
    await serve(database_url, metrics_listen=Address("127.0.0.1", port))
    return port


async def _asked(port: int, request: bytes) -> bytes:
    """Send bytes; return all bytes that arrive until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /metrics HTTP/1.1", 200),
        (b"GET /metrics?name[]=x HTTP/1.0", 200),
        (b"HEAD /metrics HTTP/1.1", 200),
        (b"GET / HTTP/1.1", 404),
        (b"GET /metrics/ HTTP/1.1", 404),
        (b"GET //metrics HTTP/1.1", 404),
        (b"POST /metrics HTTP/1.1", 405),
        (b"BREW /coffee HTTP/1.1", 405),
        (b"GET /metrics", 400),
        (b"\xff\xfe\x00", 400),
        (b"", 400),
        (b"GET /" + b"a" * MAX_REQUEST_BYTES + b" HTTP/1.1", 431),
    ],
)
async def test_what_is_answered(
    port: int, line: bytes, status: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Only GET and HEAD of /metrics are answered; a bad request is refused without a log line."""
    answer = await _asked(port, line + b"\r\nHost: a\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    if line.startswith(b"HEAD"):
        assert not body
    else:
        assert b"Content-Length: %d" % len(body) in head
    assert (b"sessionhistory_open_streams" in body) == (status == 200 and not line.startswith(b"HEAD"))
    assert (b"Allow: GET, HEAD" in head) == (status == 405)
    assert capfd.readouterr().err == ""
    assert not caplog.records


async def test_gzip(port: int) -> None:
    """A client that accepts gzip gets the metrics compressed."""

    def fetch() -> tuple[str | None, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        return answer.getheader("Content-Encoding"), answer.read()

    encoding, body = await asyncio.to_thread(fetch)
    assert encoding == "gzip"
    assert b"sessionhistory_open_streams" in gzip.decompress(body)


async def test_silent_connections(port: int) -> None:
    """Silent connections use no threads, leave room for others, and end within seconds."""
    await asyncio.to_thread(Metrics(port).read)
    threads = threading.active_count()
    async with AsyncExitStack() as stack:
        readers = []
        for number in range(MAX_CONNECTIONS * 2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            writer.write(_SCRAPE[: number % 8])
            readers.append(reader)
        assert await asyncio.to_thread(Metrics(port).read)
        assert threading.active_count() <= threads + 2
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert {await _end(reader) for reader in readers} == {b""}


async def _end(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_a_peer_that_is_gone(
    port: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that is reset before its answer causes no error."""
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_SCRAPE)
        writer.transport.abort()
    assert await asyncio.to_thread(Metrics(port).read)
    assert capfd.readouterr().err == ""
    assert not caplog.records
