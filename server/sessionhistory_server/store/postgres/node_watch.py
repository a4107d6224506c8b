"""Watch the nodes of a distributed database, beside the probes of the monitor, which never wait for this."""

from __future__ import annotations

import asyncio
from typing import Final

import psycopg

from sessionhistory_server.store.postgres.connect import open_plain
from sessionhistory_server.store.postgres.database_state import DatabaseState, Finding
from sessionhistory_server.store.postgres.failure_reason import failure_reason
from sessionhistory_server.store.postgres.nodes import Nodes, probe_nodes

# A probe costs each node a new connection: an old one would not end while the node is silent.
_INTERVAL_SECONDS: Final = 5.0
_INTERVAL_OF_LOSS_SECONDS: Final = 1.0


class NodeWatch:
    """A watch over the nodes. Each probe has a connection of its own, and a limit for each of its waits.

    Args:
        url: The database, on any of its nodes.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.nodes = Nodes()
        """The nodes that the last probe found, with the first reason of each that does not answer."""
        self._failure = ""
        self._probe: asyncio.Task[Nodes] | None = None
        self._due = 0.0
        """The time of the next probe, by the clock of the event loop."""

    @property
    def finding(self) -> Finding:
        """READY, with the faults of nodes if there are some; UNAVAILABLE if no session can be reached."""
        state = DatabaseState.UNAVAILABLE if self.nodes.is_lost else DatabaseState.READY
        return Finding(state, self.nodes.reason or self._failure)

    def look(self, *, at_once: bool) -> None:
        """Read the result of the last probe; start the next one if it is due.

        Args:
            at_once: Whether a probe is due because a call has met a node that does not answer.
        """
        if self._probe is not None and self._probe.done():
            self._read(self._probe)
            self._probe = None
        now = asyncio.get_running_loop().time()
        if self._probe is None and (at_once or now >= self._due):
            self._due = now + (_INTERVAL_OF_LOSS_SECONDS if self.nodes.unreachable else _INTERVAL_SECONDS)
            self._probe = asyncio.create_task(_probe(self._url))

    def stop(self) -> None:
        """Cancel the current probe."""
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.cancel()

    def _read(self, probe: asyncio.Task[Nodes]) -> None:
        try:
            found, self._failure = probe.result(), ""
            # A node that comes back gives several reasons, which are no news.
            if not found.is_like(self.nodes):
                self.nodes = found
        except (psycopg.Error, OSError) as error:
            self._failure = f"its nodes cannot be probed: {failure_reason(error)}"


async def _probe(url: str) -> Nodes:
    connection = await open_plain(url)
    try:
        return await probe_nodes(connection)
    finally:
        connection.drop()
