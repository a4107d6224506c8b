"""Probe the nodes on which Citus keeps the sessions, over a connection to any node."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from psycopg import sql

from sessionhistory_server.store.postgres.connect import answering, settings
from sessionhistory_server.store.postgres.failure_reason import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from psycopg.errors import Diagnostic

    from sessionhistory_server.store.postgres.connection import Connection

_NODE_SECONDS: Final = 2
# The cause is asked of one silent node after another.
_CAUSE_MILLIS: Final = 200

# Citus opens a new connection to each node, all at once, and gives up those that are not open in time.
_LIMITS: Final = {
    "citus.node_connection_timeout": f"{_NODE_SECONDS}s",
    "statement_timeout": f"{_NODE_SECONDS * 1_000 + 500}ms",
}
_CAUSE_LIMITS: Final = _LIMITS | {"citus.node_connection_timeout": f"{_CAUSE_MILLIS}ms"}

# A shard may have placements on several nodes.
_LOOK: Final = """
with answers as materialized (
    select nodeid, success, result from run_command_on_all_nodes(%(command)s::text)
)
select nodename, nodeport, coalesce(success, false), result, array_agg(distinct shardid)
from pg_dist_shard
join pg_dist_placement using (shardid)
join pg_dist_node using (groupid)
left join answers using (nodeid)
where logicalrelid = to_regclass('sessions') and noderole = 'primary'
group by nodename, nodeport, success, result
order by nodename, nodeport
"""

_CONNECT: Final = "select citus_check_connection_to_node(%(host)s::text, %(port)s::int)"

# The warning of Citus ends with the words of libpq, if it has some.
_CAUSE: Final = "error: "

_SHOW: Final = sql.SQL("select json_object_agg(name, setting) from pg_settings where name in ({})")

# The states in which a node takes no writes, by the setting of a session that is then `on`.
_READS_ONLY: Final = ("transaction_read_only", "in_hot_standby")


class Node(NamedTuple):
    """A node with shards of the sessions."""

    name: str
    """In the form ``host:port``, as Citus has it."""
    shards: int
    """The number of shards of the sessions that it has."""
    reason: str = ""
    """The reason why it does not answer; empty if it does."""
    missing: tuple[str, ...] = ()
    """The settings that a session of the role lacks there."""
    is_read_only: bool = False

    def __str__(self) -> str:
        """Return one line for operators."""
        if self.reason:
            return f"{self.name} does not answer: {self.reason}"
        if self.is_read_only:
            return f"{self.name} takes no writes: it is a standby, or its sessions are read-only"
        if self.missing:
            return f"{self.name} lacks settings such as {self.missing[0]}: run `session-history migrate`"
        return f"{self.name} is ready"

    @property
    def is_ready(self) -> bool:
        """Whether it serves all calls for its sessions, as fast as it should."""
        return not (self.reason or self.missing or self.is_read_only)


class Nodes(NamedTuple):
    """The nodes with shards of the sessions, and the number of shards: all, and those out of reach."""

    nodes: tuple[Node, ...] = ()
    shards: int = 0
    unreachable: int = 0

    @property
    def is_lost(self) -> bool:
        """Whether no session can be reached."""
        return 0 < self.shards == self.unreachable

    @property
    def reason(self) -> str:
        """The part of the sessions that cannot be reached, and other faults of nodes; empty without any."""
        faults = "; ".join(str(node) for node in self.nodes if not node.is_ready)
        if not self.unreachable:
            return faults
        share = (
            "all sessions" if self.is_lost else f"about {self.unreachable / self.shards:.0%} of the sessions"
        )
        return f"{self.unreachable} of {self.shards} shards ({share}) cannot be reached: {faults}"

    def is_like(self, other: Nodes) -> bool:
        """Whether only the reasons differ for which nodes do not answer."""
        return self._without_reasons() == other._without_reasons()

    def _without_reasons(self) -> list[tuple[bool, Node]]:
        return [(bool(node.reason), node._replace(reason="")) for node in self.nodes]


async def probe_nodes(connection: Connection) -> Nodes:
    """Return the nodes of a distributed database as new connections from the connection's node find them.

    It takes at most 3 seconds, and a fifth of a second for each node that does not answer.

    Raises:
        psycopg.Error: the connection is broken, or its node did not answer in time.
    """
    wanted = settings(distributed=True)
    names = sql.SQL(", ").join(map(sql.Literal, (*wanted, *_READS_ONLY)))
    with _limited(connection, _LIMITS):
        rows = await connection.fetch(_LOOK, {"command": _SHOW.format(names).as_string(None)})
    reached = {shard for *_, success, _, shards in rows if success for shard in shards}
    nodes = [
        _found(f"{host}:{port}", len(shards), json.loads(result), wanted)
        if success
        else Node(f"{host}:{port}", len(shards), await _cause(connection, host, port) or one_line(result))
        for host, port, success, result, shards in rows
    ]
    every = {shard for *_, shards in rows for shard in shards}
    return Nodes(tuple(nodes), len(every), len(every - reached))


def _found(name: str, shards: int, found: Mapping[str, str], wanted: Mapping[str, str]) -> Node:
    missing = tuple(setting for setting, value in wanted.items() if found.get(setting) != value)
    return Node(name, shards, "", missing, any(found.get(setting) == "on" for setting in _READS_ONLY))


async def _cause(connection: Connection, host: str, port: int) -> str:
    """Return the words of libpq for a failed connection to a node; empty if there are none."""
    heard: list[str] = []

    def hear(warning: Diagnostic) -> None:
        heard.append(warning.message_primary or "")

    connection.add_notice_handler(hear)
    try:
        with _limited(connection, _CAUSE_LIMITS):
            await connection.fetch(_CONNECT, {"host": host, "port": port})
    finally:
        connection.remove_notice_handler(hear)
    return one_line("".join(heard[-1:]).partition(_CAUSE)[2])


@contextmanager
def _limited(connection: Connection, limits: dict[str, str]) -> Iterator[None]:
    """Apply settings to the statements of a block, and shut down a connection without an answer."""
    connection.local_settings = limits
    try:
        with answering(connection):
            yield
    finally:
        connection.local_settings = {}
