"""The commands that manage the limits of tenants, in the database: no call sets a limit."""

from __future__ import annotations

import asyncio
import re
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from sessionhistory_cli.json_output import show_json, show_result
from sessionhistory_cli.server.direct import reached
from sessionhistory_cli.shared_options import json_option
from sessionhistory_server.call_context import Subject
from sessionhistory_server.config import ParamType
from sessionhistory_server.limits import MAX_INT64
from sessionhistory_server.model.tenant_limits import EVERY_TENANT, SetLimit, TenantLimits
from sessionhistory_server.observability import trail
from sessionhistory_server.store import tenant_limits
from sessionhistory_server.usecases import direct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sessionhistory_server.store.postgres.database import Work

T = TypeVar("T")

NAMES: Final = TenantLimits._fields
_NO_LIMIT: Final = "none"
_EVERY_TENANT_SHOWN: Final = "every tenant"
_MAX_TENANT_CHARACTERS: Final = 256

_VALUE: Final = re.compile(r"(?P<number>[0-9]{1,19})(?P<unit>[KMGT]iB)?")
_UNITS: Final = {None: 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


class _LimitType(ParamType):
    """A limit as NAME=VALUE."""

    name = "NAME=VALUE"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, int | None]:
        name, _, text = value.partition("=")
        if name not in NAMES:
            self.fail(f"{value!r} names no limit: the limits are {', '.join(NAMES)}", param, ctx)
        if text == _NO_LIMIT:
            return name, None
        found = _VALUE.fullmatch(text)
        number = int(found["number"]) * _UNITS[found["unit"]] if found else -1
        if found and found["unit"] and not name.endswith("_bytes"):
            number = -1
        least = 1 if name.endswith("_per_second") else 0
        if not least <= number <= MAX_INT64:
            rule = f"a number from {least}, such as {_example(name)}, or {_NO_LIMIT}"
            self.fail(f"{value!r} needs {rule}", param, ctx)
        return name, number


def _example(name: str) -> str:
    return f"{name}=10GiB" if name.endswith("_bytes") else f"{name}=100"


def _check_tenant(_: click.Context, __: click.Parameter, value: str | None) -> str:
    if value is None:
        return EVERY_TENANT
    if not 0 < len(value) <= _MAX_TENANT_CHARACTERS or not value.isprintable():
        raise click.BadParameter(f"must be 1 to {_MAX_TENANT_CHARACTERS} printable characters")
    return value


_DATABASE: Final = (
    click.option("--database-url", metavar="URL", help="The database of the servers."),
    click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="The embedded Postgres of this data directory, while a server runs on it or not.",
    ),
    json_option,
)
_tenant_option: Final = click.option(
    "--tenant",
    "tenant_id",
    metavar="ID",
    callback=_check_tenant,
    help="Tenant. Default: every tenant that has no such limit of its own.",
)


def _database_options(command: Callable[..., None]) -> Callable[..., None]:
    return reduce(lambda decorated, option: option(decorated), reversed(_DATABASE), command)


@click.group()
def limits() -> None:
    r"""Set, list and unset the limits of tenants and users.

    Servers with --limits apply a change within a few seconds. A limit of a tenant replaces that of every
    tenant.

    \b
    tenant_requests_per_second   calls of a tenant
    user_requests_per_second     calls for a user
    tenant_sessions              sessions of a tenant, until they are purged
    user_sessions                sessions of a user, until they are purged
    session_messages             messages in a session
    tenant_bytes                 messages and summaries of a tenant
    user_bytes                   messages and summaries of a user
    """


@limits.command("set")
@click.argument("wanted", metavar="NAME=VALUE...", nargs=-1, required=True, type=_LimitType())
@_tenant_option
@_database_options
def set_(
    *,
    wanted: tuple[tuple[str, int | None], ...],
    tenant_id: str,
    database_url: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Set limits. The value none means: no limit, even if every tenant has one.

    Bytes may have a unit: KiB, MiB, GiB or TiB.
    """
    chosen = dict(wanted)
    if len(chosen) < len(wanted):
        raise click.UsageError("a limit has two values: give each limit once")
    change = partial(tenant_limits.set_limits, tenant_id=tenant_id, limits=chosen)
    _run(database_url, data_dir, change, writes=True, creates=True)
    _note(tenant_id, [f"{name}={_shown(value)}" for name, value in chosen.items()])
    _show([SetLimit(tenant_id, name, value) for name, value in chosen.items()], as_json=as_json)


@limits.command("list")
@_database_options
def list_(*, database_url: str | None, data_dir: Path | None, as_json: bool) -> None:
    """List all limits: for each the tenant, the name and the value."""
    found = _run(database_url, data_dir, tenant_limits.read)
    if not found and not as_json:
        click.echo("no limits", err=True)
    _show(found, as_json=as_json)


@limits.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=click.Choice(NAMES))
@_tenant_option
@_database_options
def unset(
    *, names: tuple[str, ...], tenant_id: str, database_url: str | None, data_dir: Path | None, as_json: bool
) -> None:
    """Unset limits. The tenant then has those of every tenant, if there are any."""
    change = partial(tenant_limits.unset_limits, tenant_id=tenant_id, names=names)
    found = _run(database_url, data_dir, change, writes=True)
    _note(tenant_id, names)
    show_result({"unset": found}, f"unset: {', '.join(found) or 'none was set'}", as_json=as_json)


def _run(
    database_url: str | None,
    data_dir: Path | None,
    work: Work[T],
    *,
    writes: bool = False,
    creates: bool = False,
) -> T:
    if (database_url is None) == (data_dir is None):
        raise click.UsageError("give --database-url or --data-dir")

    async def run(url: str) -> T:
        async with direct.opened(url) as database:
            return await (database.write(work) if writes else database.read(work))

    with reached(database_url, data_dir, creates=creates) as url:
        return asyncio.run(run(url))


def _note(tenant_id: str, changed: Iterable[str]) -> None:
    trail.write(Subject(tenant_id, act=trail.LIMIT_CHANGE, limits=" ".join(changed)), "OK")


def _show(found: list[SetLimit], *, as_json: bool) -> None:
    if as_json:
        show_json(limits=[limit._asdict() for limit in found])
        return
    rows = [(limit.tenant_id or _EVERY_TENANT_SHOWN, limit.name, _shown(limit.value)) for limit in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _shown(value: int | None) -> str:
    return _NO_LIMIT if value is None else str(value)
