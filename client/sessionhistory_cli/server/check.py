"""The command that checks whether a database is ready to serve from."""

from __future__ import annotations

import asyncio
import sys
from typing import NamedTuple

import click

import sessionhistory_migrations as migrations
from sessionhistory_cli.json_output import show_result
from sessionhistory_cli.server.database_url import explain_database_errors, required_url
from sessionhistory_cli.shared_options import json_option
from sessionhistory_server.config import option
from sessionhistory_server.store.postgres.connect import connect, conninfo
from sessionhistory_server.store.postgres.database_state import DatabaseState, Finding, probe_with_write


class _Report(NamedTuple):
    """The findings, in the order in which they are printed."""

    ready: bool
    state: str
    postgres: str
    schema: str
    newest_schema: str


@click.command()
@option("database_url", "URL of a Postgres 15 to 18, as libpq takes it. Required.")
@option("pooler")
@json_option
def check(database_url: str | None, pooler: str | None, *, as_json: bool) -> None:
    """Check whether a database is ready to serve from. Exits with 1 if it is not."""
    url = required_url(database_url, pooler)
    with explain_database_errors():
        report = _inspect(url, pooled=pooler is not None)
    found = report._asdict()
    shown = found | {"ready": "yes" if report.ready else "no"}
    lines = (f"{name.replace('_', ' '):<18} {value}" for name, value in shown.items())
    show_result(found, "\n".join(lines), as_json=as_json)
    sys.exit(0 if report.ready else 1)


def _inspect(url: str, *, pooled: bool) -> _Report:
    finding, version = asyncio.run(_probe(url, pooled=pooled))
    state = finding.state.value
    return _Report(
        ready=finding.state is DatabaseState.READY,
        state=f"{state}: {finding.reason}" if finding.reason else state,
        postgres=f"{version // 10_000}.{version % 10_000}",
        schema=migrations.current(conninfo(url)) or "none",
        newest_schema=migrations.head(),
    )


async def _probe(url: str, *, pooled: bool) -> tuple[Finding, int]:
    """Return the state of a database, and the version of its Postgres."""
    connection = await connect(url, pooled=pooled)
    try:
        version = connection.info.server_version  # before the connection may be lost in the probe
        return await probe_with_write(connection), version
    finally:
        await connection.close()
