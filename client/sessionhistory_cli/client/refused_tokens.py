"""The commands that refuse JSON Web Tokens before they expire, and list the refused ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.table import Table

from sessionhistory_cli.client.blocks import console
from sessionhistory_cli.client.formatting import ago, timestamp, visible
from sessionhistory_cli.client.key_options import parse_expiry
from sessionhistory_cli.client.server_options import Server, server_options
from sessionhistory_cli.json_output import show_json, to_json
from sessionhistory_cli.shared_options import json_option

if TYPE_CHECKING:
    from datetime import datetime

    from sessionhistory import RefusedToken


@click.group()
def jwt() -> None:
    """Refuse JSON Web Tokens, and list refused ones.

    The commands need a key or a token of the scope admin, and are about the tokens of its tenant.
    """


@jwt.command()
@click.argument("token_id", metavar="TOKEN_ID")
@click.option(
    "--expires",
    "expire_time",
    metavar="TIME",
    required=True,
    callback=parse_expiry,
    help="When the token expires (exp), or later, such as 12h: the longest life of a token of the issuer.",
)
@json_option
@server_options(timeout_seconds=10)
def refuse(*, server: Server, token_id: str, expire_time: datetime, as_json: bool) -> None:
    """Refuse a token. Within a few seconds every server refuses it, and its open streams end.

    TOKEN_ID is the id of the token as the server's log shows it: its claim jti, or a digest.
    """
    with server.client() as client:
        refused = client.refuse_token(token_id, expire_time=expire_time)
    if as_json:
        show_json(refused_token=refused)
    else:
        click.echo(f"{refused.token_id} refused until {timestamp(refused.expire_time)}")


@jwt.command("list")
@json_option
@server_options(timeout_seconds=10)
def list_(*, server: Server, as_json: bool) -> None:
    """List refused tokens, the last refused first.

    If the output is not a terminal, each token is one line of tab-separated values: id, user, application,
    and the times of expiry and refusal.
    """
    with server.client() as client:
        found = list(client.list_refused_tokens())
    if as_json:
        show_json(refused_tokens=found)
    elif found and console().is_terminal:
        console().print(_table(found))
    else:
        for token in found:
            times = map(to_json, (token.expire_time, token.refuse_time))
            click.echo("\t".join((token.token_id, *_bound(token), *times)))
        if not found:
            click.echo("no refused tokens", err=True)


def _bound(token: RefusedToken) -> tuple[str, str]:
    return visible(token.user_id or ""), visible(token.application_id or "")


def _table(found: list[RefusedToken]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("token", "user", "application", "expires", "refused"):
        table.add_column(name, overflow="fold")
    for token in found:
        times = timestamp(token.expire_time), ago(token.refuse_time)
        table.add_row(token.token_id, *_bound(token), *times)
    return table
