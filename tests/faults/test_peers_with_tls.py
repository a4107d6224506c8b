"""Peers that speak TLS and do not read, and peers that do not finish the handshake."""

from __future__ import annotations

import asyncio
import struct
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import pytest
from attacked import BOUND_MIB, LARGE, MAX_MEMORY_MIB, SERVICE, SETTINGS, Attacked

from support import http2
from support.certificates import Authority
from support.hostile import message
from support.waiting import until

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from support.processes import Server

_LARGEST_WINDOW = 2**31 - 1
_DEFAULT_WINDOW = 65_535
_CALLS = 15
_PEERS = 8
_CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""The beginning of a handshake, whose rest has 500 bytes."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority of the server's certificate."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def attacked(database_url: str, start: Callable[..., Server], authority: Authority) -> Attacked:
    """A server of one worker with TLS that gives its peers two seconds."""
    server = start("--database-url", database_url, *SETTINGS, *authority.issue("server").flags)
    return Attacked(server, authority.credentials())


async def _call(address: str, context: ssl.SSLContext, stack: AsyncExitStack, *, window: int) -> None:
    """Make calls with large answers on a new connection, and read nothing, until the stack ends.

    Args:
        address: HOST:PORT of the server.
        context: TLS.
        stack: Closes the connection.
        window: The bytes that the server may send on the connection, and for each answer.
    """
    reader, writer = await asyncio.open_connection(*address.rsplit(":", 1), ssl=context)
    stack.callback(_abort, reader, writer)  # keeps the reader, without which asyncio closes the connection
    settings = struct.pack(">HI", http2.INITIAL_WINDOW_SIZE, window)
    writer.write(http2.PREFACE + http2.frame_of(http2.SETTINGS, 0, 0, settings))
    if window > _DEFAULT_WINDOW:
        more = struct.pack(">I", window - _DEFAULT_WINDOW)
        writer.write(http2.frame_of(http2.WINDOW_UPDATE, 0, 0, more))
    headers, body = http2.fields_of(f"{SERVICE}GetHistory".encode()), message(LARGE.SerializeToString())
    for stream in range(1, 2 * _CALLS, 2):
        writer.write(http2.frame_of(http2.HEADERS, http2.END_HEADERS, stream, headers))
        writer.write(http2.frame_of(http2.DATA, http2.END_STREAM, stream, body))
    await writer.drain()


def _abort(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@pytest.mark.parametrize("window", [0, _LARGEST_WINDOW])
async def test_answers_that_are_not_read(attacked: Attacked, authority: Authority, window: int) -> None:
    """Unread answers take bounded memory, in HTTP/2 and in TLS; others are served."""
    async with AsyncExitStack() as stack:
        with attacked.watched():
            for _ in range(_PEERS):
                await _call(attacked.address, authority.context(), stack, window=window)
            await until(lambda: "connection ended: its answers are not read" in attacked.server.log)
            assert await asyncio.to_thread(attacked.serves)
            await until(lambda: attacked.memory_mib < MAX_MEMORY_MIB)
    assert attacked.peak_mib < BOUND_MIB


@pytest.mark.parametrize("data", [b"", _CLIENT_HELLO])
async def test_handshakes_that_never_end(attacked: Attacked, data: bytes) -> None:
    """The server closes a connection whose handshake takes too long, even if a byte arrives now and then."""
    reader, writer = await asyncio.open_connection(*attacked.address.rsplit(":", 1))
    writer.write(data)

    async def closed() -> bool:
        if data:
            with suppress(ConnectionError):
                writer.write(b"\0")
        with suppress(TimeoutError, ConnectionError):
            return await asyncio.wait_for(reader.read(1), 0.2) == b""
        return reader.at_eof()

    await until(closed)
    writer.transport.abort()
    assert await asyncio.to_thread(attacked.serves)
