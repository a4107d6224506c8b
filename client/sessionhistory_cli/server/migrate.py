"""The command that brings a database's schema up to date."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import click

import sessionhistory_migrations as migrations
from sessionhistory_cli.json_output import show_result
from sessionhistory_cli.server.database_url import explain_database_errors, required_url, valid_url
from sessionhistory_cli.shared_options import json_option
from sessionhistory_server.config import flag, option, variable
from sessionhistory_server.store.postgres import role_settings
from sessionhistory_server.store.postgres.connect import conninfo
from sessionhistory_server.store.postgres.poolers import SessionsMoveError
from sessionhistory_server.store.postgres.preflight import refuse_moves

if TYPE_CHECKING:
    from sessionhistory_migrations import Migrated

_DIRECT: Final = "direct_database_url"


@click.command()
@option("database_url", "URL of a Postgres 15 to 18, as libpq takes it. Required.")
@option(_DIRECT)
@option(
    "pooler", "transaction: also store the settings of the role that serves through a pooler in this mode."
)
@click.option(
    "--distribute",
    is_flag=True,
    help="Distribute the tables over the nodes of Citus. Writes wait until the rows have moved.",
)
@json_option
def migrate(
    database_url: str | None,
    direct_database_url: str | None,
    pooler: str | None,
    *,
    distribute: bool,
    as_json: bool,
) -> None:
    """Bring a database's schema up to date.

    Running servers of this release and of the one before it are not affected, except by --distribute. Once
    the tables are distributed, each run also stores the settings of the role that serves, on every node.
    """
    url = required_url(database_url, pooler)
    direct_url = valid_url(direct_database_url, setting=_DIRECT) if direct_database_url else url
    with explain_database_errors():
        _require_session(direct_url)
        done = migrations.upgrade(conninfo(direct_url), distribute=distribute)
        stores = pooler or done.is_distributed
        unstored = asyncio.run(role_settings.store(url, direct_url)) if stores else []
    show_result(_result(done) | ({"run": unstored} if unstored else {}), _text(done), as_json=as_json)
    if unstored:
        raise click.ClickException(_to_run(unstored))


def _result(done: Migrated) -> dict[str, Any]:
    result: dict[str, Any] = {"before": done.before, "after": done.after}
    if done.rebuilt:
        result["rebuilt"] = done.rebuilt
    if done.is_distributed:
        result["distributed"] = done.distributed
    return result


def _text(done: Migrated) -> str:
    changes = [f"schema {done.before or 'none'} → {done.after}"] if done.before != done.after else []
    if done.rebuilt:
        changes.append(f"invalid indexes built again: {', '.join(done.rebuilt)}")
    if done.distributed:
        changes.append(f"distributed: {', '.join(done.distributed)}")
    kind = ", distributed" if done.is_distributed else ""
    return "\n".join(changes) or f"schema {done.after}{kind}: nothing to do"


def _require_session(direct_url: str) -> None:
    try:
        asyncio.run(refuse_moves(direct_url))
    except SessionsMoveError as error:
        raise click.ClickException(
            "migrations need a session of their own, and a pooler moves sessions between its clients: give"
            f" {flag(_DIRECT)} ({variable(_DIRECT)}), a URL that leads past it"
        ) from error


def _to_run(statements: list[str]) -> str:
    lines = [f"{statement};" for statement in statements]
    return "\n".join(
        ["this role may not store the settings of the role that serves; run as one that may:", *lines]
    )
