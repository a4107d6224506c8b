"""The commands for a database's schema: migrate, check."""

from __future__ import annotations

import json
import sys

import click

import sessionhistory_migrations as migrations
from sessionhistory_server import inspection
from sessionhistory_server.cli._database import clear_errors, required
from sessionhistory_server.config import options


@click.command()
@options("database_url")
def migrate(database_url: str | None) -> None:
    """Bring a database's schema up to date. Servers of this release and the one before go on running."""
    url = required(database_url)
    with clear_errors():
        before = migrations.current(url)
        migrations.upgrade(url)
        after = migrations.current(url)
    click.echo(
        f"schema {after}: nothing to do" if before == after else f"schema {before or 'none'} → {after}"
    )


@click.command()
@options("database_url")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(database_url: str | None, *, as_json: bool) -> None:
    """Say whether a database can be served from. Exits with 1 if it cannot."""
    with clear_errors():
        report = inspection.inspect(required(database_url))
    if as_json:
        click.echo(json.dumps(report._asdict()))
    else:
        for name, value in report._asdict().items():
            click.echo(f"{name.replace('_', ' '):<18} {value}")
    sys.exit(0 if report.ready else 1)
