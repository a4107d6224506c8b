"""Print API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.table import Table

from sessionhistory_cli.client.blocks import console
from sessionhistory_cli.client.formatting import ago, timestamp, visible
from sessionhistory_cli.json_output import show_json, to_json

if TYPE_CHECKING:
    from sessionhistory import ApiKey, ApiKeySecret


def show_secret(made: ApiKeySecret, *, as_json: bool) -> None:
    """Print a new secret on standard output, and the rights of its key on standard error."""
    if as_json:
        show_json(api_key=made.api_key, secret=made.secret)
        return
    click.echo(made.secret)
    click.echo(f"{_described(made.api_key)}. It is not shown again: store it now", err=True)


def show_registration(key: ApiKey, *, as_json: bool) -> None:
    """Print the id of a key without a secret on standard output, and its rights on standard error."""
    if as_json:
        show_json(api_key=key)
        return
    click.echo(key.api_key_id)
    click.echo(f"{_described(key)}; certificate {key.certificate_name}", err=True)


def _described(key: ApiKey) -> str:
    rights = [f"scopes {', '.join(key.scopes)}"]
    rights += [f"user {visible(key.user_id)}"] if key.user_id else []
    rights += [f"application {visible(key.application_id)}"] if key.application_id else []
    rights += [f"until {timestamp(key.expire_time)}"] if key.expire_time else []
    return f"key {key.api_key_id}: {'; '.join(rights)}"


def show_keys(found: list[ApiKey], *, as_json: bool) -> None:
    """Print a list of keys."""
    if as_json:
        show_json(api_keys=found)
    elif found and console().is_terminal:
        console().print(_table(found))
    else:
        for key in found:
            click.echo("\t".join(_values(key)))
        if not found:
            click.echo("no keys", err=True)


def _values(key: ApiKey) -> tuple[str, ...]:
    times = (key.create_time, key.expire_time, key.last_use_time, key.revoke_time)
    return (
        key.api_key_id,
        visible(key.display_name),
        ",".join(key.scopes),
        visible(key.user_id or ""),
        visible(key.application_id or ""),
        *(to_json(time) if time else "" for time in times),
        key.certificate_name or "",
    )


def _table(found: list[ApiKey]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("key", "name", "scopes", "bound to", "expires", "last use"):
        table.add_column(name, overflow="fold")
    for key in found:
        bound = [visible(name) for name in (key.user_id, key.application_id) if name]
        expires = "revoked" if key.revoke_time else timestamp(key.expire_time)
        table.add_row(
            key.api_key_id,
            visible(key.display_name or key.certificate_name or ""),
            ", ".join(key.scopes),
            ", ".join(bound),
            expires,
            ago(key.last_use_time),
        )
    return table
