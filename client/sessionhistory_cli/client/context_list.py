"""The command that lists contexts, without their secrets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from sessionhistory_cli.client.blocks import console
from sessionhistory_cli.client.formatting import visible
from sessionhistory_cli.contexts import contexts_file, read_contexts
from sessionhistory_cli.endpoint import CONTEXT_VARIABLE
from sessionhistory_cli.json_output import show_json
from sessionhistory_cli.shared_options import json_option

if TYPE_CHECKING:
    from sessionhistory_cli.contexts import Context


@click.command()
@json_option
def contexts(*, as_json: bool) -> None:
    """List the servers that have a name in the file of contexts. Keys are not shown.

    If the output is not a terminal, each context is one line of tab-separated values: name, server, tls or
    plaintext, key or nothing, and "current" for the one that SESSION_HISTORY_CONTEXT names.
    """
    found = read_contexts()
    if as_json:
        show_json(contexts=[_shown(each) for each in found])
    elif found and console().is_terminal:
        console().print(_table(found))
    else:
        for each in found:
            click.echo("\t".join(_values(each)))
        if not found:
            click.echo(f"no contexts in {contexts_file()}", err=True)


def _shown(context: Context) -> dict[str, Any]:
    files = {name: str(path) if (path := getattr(context, name)) else None for name in ("ca", "cert", "key")}
    return {
        "name": context.name,
        "server": context.target,
        "tls": context.uses_tls,
        **files,
        "has_api_key": context.has_api_key,
        "current": _is_current(context),
    }


def _values(context: Context) -> tuple[str, ...]:
    return (
        visible(context.name),
        visible(context.target),
        "tls" if context.uses_tls else "plaintext",
        "key" if context.has_api_key else "",
        "current" if _is_current(context) else "",
    )


def _table(found: list[Context]) -> Table:
    table = Table("context", "server", "", "", "", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for each in found:
        table.add_row(*_values(each))
    return table


def _is_current(context: Context) -> bool:
    return os.environ.get(CONTEXT_VARIABLE) == context.name
