"""A TCP relay in front of a server, which can remove or add TLS and change the bytes that are sent."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

_CHUNK_BYTES = 65_536


@asynccontextmanager
async def relay(
    address: str,
    *,
    tls: ssl.SSLContext | None = None,
    server_tls: ssl.SSLContext | None = None,
    change: Callable[[bytes], bytes] = bytes,
    refused: int = 0,
) -> AsyncIterator[str]:
    """Listen on a free port and forward the changed bytes to a server; yield the address.

    ``tls`` is for connections to the relay, ``server_tls`` for those to the server. The first ``refused``
    connections are closed at once.
    """
    tasks: set[asyncio.Task[None]] = set()
    numbers = itertools.count()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if next(numbers) < refused:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        up_reader, up_writer = await asyncio.open_connection(*address.rsplit(":", 1), ssl=server_tls)
        try:
            await asyncio.gather(_pump(reader, up_writer, change), _pump(up_reader, writer, bytes))
        except (asyncio.CancelledError, OSError):
            pass  # the test is over, or one side has closed
        finally:
            up_writer.transport.abort()
            writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Callable[[bytes], bytes]
) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(change(data))
        await writer.drain()
    writer.close()
