"""A TCP proxy in front of Postgres that can refuse, cut, stall, slow down and end connections."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_CHUNK_BYTES = 65_536


class Proxy:
    """A proxy in front of one Postgres database; ``url`` goes through it."""

    def __init__(self, upstream_url: str) -> None:
        self.lead_to(upstream_url)
        self._listener: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self.closes_in_order = False
        """Whether a connection that the database has closed is closed in the same way, not reset."""
        self._swallowing = False
        self._abandoned = 0
        """How many of the first connections stay silent for ever."""
        self.delay_seconds = 0.0
        """How long each piece of data is delayed, in either direction."""
        self._live: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.attempts = 0
        """How many connections clients have tried, including refused ones."""

    @classmethod
    @asynccontextmanager
    async def running(cls, upstream_url: str) -> AsyncIterator[Proxy]:
        """Listen on a free port of this machine until the block ends."""
        proxy = cls(upstream_url)
        await proxy.listen()
        try:
            yield proxy
        finally:
            await proxy.vanish()

    @property
    def url(self) -> str:
        """The URL of the database through the proxy."""
        return make_conninfo(
            self.upstream_url, host="127.0.0.1", port=self.port, sslmode="disable", gssencmode="disable"
        )

    @property
    def open_connections(self) -> int:
        """How many connections go through the proxy now."""
        return len(self._live)

    def lead_to(self, upstream_url: str) -> None:
        """Lead new connections to this database, which may have restarted at another address."""
        parameters = conninfo_to_dict(upstream_url)
        self._host = str(parameters.get("host") or "127.0.0.1")
        self._port = int(parameters.get("port") or 5432)
        self.upstream_url = upstream_url

    async def listen(self) -> None:
        """Accept connections; after ``vanish``, on the same port."""
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def vanish(self) -> None:
        """Close the port: existing connections are cut, and the system refuses new ones."""
        if self._listener:
            self._listener.close()
        await self.cut()

    async def cut(self) -> None:
        """Reset all connections. New ones work."""
        live = list(self._live)
        for task in live:
            task.cancel()
        await asyncio.gather(*live, return_exceptions=True)

    async def refuse(self) -> None:
        """Reset all connections, and each new one on arrival."""
        self._refusing = True
        await self.cut()

    def refuse_more(self) -> None:
        """Reset each new connection on arrival. Existing ones work."""
        self._refusing = True

    def stall(self) -> None:
        """Forward nothing in either direction, and keep all connections open."""
        self._flowing.clear()

    def abandon(self) -> None:
        """Forward nothing on existing connections, and keep them open; new ones work."""
        self._abandoned = self.attempts

    def swallow_answers(self) -> None:
        """Forward the clients' requests and drop Postgres's answers: the statements run."""
        self._swallowing = True

    def end(self) -> None:
        """Shut down the sending side towards the clients, and keep their connections open."""
        for client in self._clients:
            client.write_eof()

    def heal(self) -> None:
        """Work normally again; stalled connections go on."""
        self._refusing = self._swallowing = False
        self.delay_seconds = 0.0
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.attempts += 1
        task = asyncio.current_task()
        assert task
        number = self.attempts
        self._live.add(task)
        self._clients.add(writer)
        try:
            if not self._refusing:
                await self._connect(reader, writer, number)
        except (asyncio.CancelledError, OSError):
            pass  # reset by the proxy, or closed by a peer
        finally:
            if self.closes_in_order:
                writer.close()
            else:
                _reset(writer)
            self._clients.discard(writer)
            self._live.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await self._flowing.wait()
        if self._host.startswith("/"):
            path = f"{self._host}/.s.PGSQL.{self._port}"
            up_reader, up_writer = await asyncio.open_unix_connection(path)
        else:
            up_reader, up_writer = await asyncio.open_connection(self._host, self._port)
        pumps = [
            asyncio.create_task(self._pump(reader, up_writer, number)),
            asyncio.create_task(self._pump(up_reader, writer, number, answers=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            up_writer.transport.abort()  # before any await, during which another reset could come
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
        *,
        answers: bool = False,
    ) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            await self._flowing.wait()
            if number <= self._abandoned or (answers and self._swallowing):
                continue
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            writer.write(data)
            await writer.drain()
        await self._flowing.wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset, as after a crash of the machine."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
    writer.transport.abort()


def terminate_all(url: str) -> int:
    """Let Postgres terminate every other connection to the database; return how many there were."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        ).rowcount


def free_port() -> int:
    """Return an unused port that the system assigns only to programs that name it."""
    while not is_free(port := random.randrange(10_000, 32_000)):
        pass
    return port


def is_free(port: int) -> bool:
    """Return whether a server could listen on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
        return True
