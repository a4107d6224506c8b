"""The command that checks whether a database is ready to serve from."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

import sessionhistory_migrations as migrations
from sessionhistory_cli.json_output import show_result
from sessionhistory_cli.server.database_url import explain_database_errors, required_url
from sessionhistory_cli.shared_options import json_option
from sessionhistory_server.config import option
from sessionhistory_server.store.postgres import citus
from sessionhistory_server.store.postgres.connect import connect, conninfo
from sessionhistory_server.store.postgres.database_state import DatabaseState, Finding, probe_with_write
from sessionhistory_server.store.postgres.nodes import Nodes, probe_nodes

if TYPE_CHECKING:
    from sessionhistory_server.store.postgres.connection import Connection

_LOCAL: Final = "installed, but no table is distributed: `session-history migrate --distribute` does that"


class _Found(NamedTuple):
    """The state of a database, the version of its Postgres, and the state of Citus, empty if it has none."""

    finding: Finding
    version: int
    citus: str
    nodes: Nodes

    @property
    def is_ready(self) -> bool:
        return self.finding.state is DatabaseState.READY and not self.nodes.reason

    @property
    def state(self) -> str:
        state, reason = self.finding
        return f"{state.value}: {reason}" if reason else self.nodes.reason or state.value


@click.command()
@option("database_url", "URL of a Postgres 15 to 18, as libpq takes it. Required.")
@option("pooler")
@json_option
def check(database_url: str | None, pooler: str | None, *, as_json: bool) -> None:
    """Check whether a database is ready to serve from. Exits with 1 if it is not.

    If the tables are distributed, each node of the sessions must answer, take writes and have the settings of
    the role.
    """
    url = required_url(database_url, pooler)
    with explain_database_errors():
        found = asyncio.run(_look(url, pooled=pooler is not None))
        report = _report(found, schema=migrations.current(conninfo(url)))
    nodes = {"nodes": [{"name": node.name, "state": str(node)} for node in found.nodes.nodes]}
    shown = report | {"ready": "yes" if found.is_ready else "no"}
    lines = [f"{name.replace('_', ' '):<18} {value}" for name, value in shown.items()]
    lines += [f"{'node':<18} {node}" for node in found.nodes.nodes]
    show_result(report | (nodes if found.nodes.nodes else {}), "\n".join(lines), as_json=as_json)
    sys.exit(0 if found.is_ready else 1)


def _report(found: _Found, *, schema: str | None) -> dict[str, Any]:
    """Return the findings, in the order in which they are printed."""
    report = {
        "ready": found.is_ready,
        "state": found.state,
        "postgres": f"{found.version // 10_000}.{found.version % 10_000}",
        "schema": schema or "none",
        "newest_schema": migrations.head(),
    }
    return report | ({"citus": found.citus} if found.citus else {})


async def _look(url: str, *, pooled: bool) -> _Found:
    connection = await connect(url, pooled=pooled)
    try:
        version = connection.info.server_version  # before the connection may be lost in the probe
        finding = await probe_with_write(connection)
        return _Found(finding, version, *await _look_at_citus(connection))
    finally:
        await connection.close()


async def _look_at_citus(connection: Connection) -> tuple[str, Nodes]:
    if not connection.is_distributed:
        return _LOCAL if await citus.is_installed(connection) else "", Nodes()
    nodes = await probe_nodes(connection)
    answering = sum(not node.reason for node in nodes.nodes)
    return f"distributed, {answering} of {len(nodes.nodes)} nodes answer", nodes
