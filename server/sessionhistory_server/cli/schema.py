"""The commands for a database's schema: migrate, check."""

from __future__ import annotations

import sys
from typing import Final

import click

import sessionhistory_migrations as migrations
from sessionhistory_server import inspection
from sessionhistory_server.cli._database import clear_errors, required
from sessionhistory_server.cli._output import json_option, show
from sessionhistory_server.config import option

_DATABASE: Final = "URL of a Postgres 15 to 18, as libpq takes it. Required."


@click.command()
@option("database_url", _DATABASE)
@json_option
def migrate(database_url: str | None, *, as_json: bool) -> None:
    """Bring a database's schema up to date.

    Running servers of this release and of the one before it are not affected.
    """
    url = required(database_url)
    with clear_errors():
        before = migrations.current(url)
        migrations.upgrade(url)
        after = migrations.current(url)
    text = f"schema {after}: nothing to do" if before == after else f"schema {before or 'none'} → {after}"
    show({"before": before, "after": after}, text, as_json=as_json)


@click.command()
@option("database_url", _DATABASE)
@json_option
def check(database_url: str | None, *, as_json: bool) -> None:
    """Check whether a database is ready to serve from. Exits with 1 if it is not."""
    with clear_errors():
        report = inspection.inspect(required(database_url))._asdict()
    shown = report | {"ready": "yes" if report["ready"] else "no"}
    lines = (f"{name.replace('_', ' '):<18} {value}" for name, value in shown.items())
    show(report, "\n".join(lines), as_json=as_json)
    sys.exit(0 if report["ready"] else 1)
