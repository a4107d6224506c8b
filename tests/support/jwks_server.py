"""A server of an issuer's keys that answers well, badly, slowly or not at all."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Return a complete response of HTTP."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class JwksServer:
    """A server whose next answers a test sets: bytes, or a function that writes them."""

    def __init__(self, scheme: str) -> None:
        self.answer: bytes | Answer = b""
        self.requests: list[bytes] = []
        self.url = ""
        self._scheme = scheme

    @classmethod
    @asynccontextmanager
    async def running(cls, context: ssl.SSLContext | None = None) -> AsyncIterator[JwksServer]:
        """Start a server on a free port of this machine; stop it in the end."""
        served = cls("https" if context else "http")
        server = await asyncio.start_server(served._serve, "127.0.0.1", 0, ssl=context)
        served.url = f"{served._scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys.json"
        try:
            yield served
        finally:
            server.close()

    def publish(self, body: bytes) -> None:
        """Answer with a body from now on."""
        self.answer = response(body)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            if isinstance(self.answer, bytes):
                writer.write(self.answer)
                await writer.drain()
            else:
                answering = asyncio.create_task(self.answer(writer))
                await reader.read()  # the peer closes the connection
                answering.cancel()
                await asyncio.wait((answering,))
        writer.close()
        with suppress(ConnectionError, TimeoutError):
            await writer.wait_closed()


def dripping(beginning: bytes) -> Answer:
    """Return an answer that sends a byte at a time, and does not end."""

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        with suppress(ConnectionError):
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)  # the pace of the attack

    return drip


async def silent(_: asyncio.StreamWriter) -> None:
    """Send nothing."""
    await asyncio.Event().wait()
