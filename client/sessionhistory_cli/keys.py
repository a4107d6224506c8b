"""The commands that manage API keys: by calls to a server, or in its database."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from functools import reduce, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import click

from sessionhistory import Scope
from sessionhistory_cli.client.key_options import (
    MAX_ID_CHARACTERS,
    MAX_NAME_CHARACTERS,
    SCOPES,
    at_least_one_scope,
    at_most,
    expiry_option,
    key_argument,
    overlap_option,
)
from sessionhistory_cli.client.key_output import show_keys, show_registration, show_secret
from sessionhistory_cli.client.server_options import Server, server_options
from sessionhistory_cli.json_output import show_json
from sessionhistory_cli.lazy_command import EMBEDDED, needing
from sessionhistory_cli.shared_options import json_option

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from datetime import datetime, timedelta

    from sessionhistory import ApiKey, ApiKeySecret


class KeyManager(Protocol):
    """The methods for keys of a client, which the keys of a database have, too."""

    def create_api_key(
        self,
        scopes: Collection[Scope],
        *,
        display_name: str,
        user_id: str | None,
        application_id: str | None,
        require_user_id: bool,
        expire_time: datetime | None,
    ) -> ApiKeySecret:
        """Create a key."""

    def list_api_keys(self, *, show_revoked: bool) -> Iterable[ApiKey]:
        """Return keys, the newest first."""

    def rotate_api_key(
        self, api_key_id: str, *, overlap: timedelta, expire_time: datetime | None
    ) -> ApiKeySecret:
        """Give a key a new secret."""

    def revoke_api_key(self, api_key_id: str) -> ApiKey:
        """Revoke a key."""


@runtime_checkable
class CertificateRegistrar(Protocol):
    """The method for certificates, which only the keys of a database have."""

    def register_certificate(
        self,
        certificate_name: str,
        scopes: Collection[Scope],
        **fields: Any,  # noqa: ANN401 - as those of create_api_key
    ) -> ApiKey:
        """Register the name of a certificate as a key without a secret."""


_DATABASE: Final = (
    click.option(
        "--database-url",
        metavar="URL",
        help="Change the keys in this database, without a server: necessary for the first key.",
    ),
    click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="The same in the embedded Postgres of this data directory, while a server runs on it or not.",
    ),
    click.option(
        "--tenant",
        metavar="ID",
        callback=at_most(MAX_ID_CHARACTERS),
        help="Tenant of the keys, only with one of these. A call has that of its key. Default: default.",
    ),
)


def _manager_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where the keys are; the command gets them as one argument, ``manager``."""

    @wraps(command)
    def with_manager(
        *,
        server: Server,
        database_url: str | None,
        data_dir: Path | None,
        tenant: str | None,
        **rest: Any,  # noqa: ANN401 - the command's own, by name
    ) -> None:
        with _manager(server, database_url, data_dir, tenant) as manager:
            command(manager=manager, **rest)

    decorated = reduce(lambda decorated, option: option(decorated), reversed(_DATABASE), with_manager)
    return json_option(server_options(timeout_seconds=10)(decorated))


@contextmanager
def _manager(
    server: Server, database_url: str | None, data_dir: Path | None, tenant: str | None
) -> Iterator[KeyManager]:
    if database_url is not None and data_dir is not None:
        raise click.UsageError("give --database-url or --data-dir, not both")
    if database_url is None and data_dir is None:
        if tenant is not None:
            raise click.UsageError("--tenant needs --database-url or --data-dir: a call has that of its key")
        with server.client() as client:
            yield client
        return
    with needing(EMBEDDED):
        direct = importlib.import_module("sessionhistory_cli.server.keys")
    creates = click.get_current_context().info_name == "create"
    with direct.opened(database_url, data_dir, tenant, creates=creates) as keys_of_database:
        yield keys_of_database


@click.group()
def keys() -> None:
    """Create, list, rotate and revoke API keys.

    A key belongs to a tenant, and has scopes. Without --database-url and --data-dir, a command calls a server
    with a key of the scope admin, and manages the keys of that key's tenant.
    """


@keys.command()
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    callback=at_least_one_scope,
    help="Right of the key; may be repeated.",
)
@click.option(
    "--name",
    "display_name",
    default="",
    show_default=False,
    callback=at_most(MAX_NAME_CHARACTERS),
    help="Name for people.",
)
@click.option(
    "--user",
    "user_id",
    metavar="ID",
    callback=at_most(MAX_ID_CHARACTERS),
    help="User to bind the key to: it acts for this user only.",
)
@click.option(
    "--application",
    "application_id",
    metavar="ID",
    callback=at_most(MAX_ID_CHARACTERS),
    help="Application to bind the key to: it finds the sessions of this application only.",
)
@click.option(
    "--require-user-id", is_flag=True, help="Each call with the key must name the user that it acts for."
)
@click.option(
    "--certificate",
    "certificate_name",
    metavar="NAME",
    help="Name in the client's certificate, in place of a secret: URI:spiffe://corp/orders or DNS:host.",
)
@expiry_option
@_manager_options
def create(
    *,
    manager: KeyManager,
    scopes: tuple[str, ...],
    certificate_name: str | None,
    as_json: bool,
    **fields: Any,  # noqa: ANN401 - the other fields of a key, by name
) -> None:
    """Create a key. Standard output has only the key, which is never shown again.

    With --certificate, the key has no secret: a caller is its holder if it has a certificate of this name.
    Standard output then has only the key's id.
    """
    fields["scopes"] = [Scope(scope) for scope in dict.fromkeys(scopes)]
    fields["user_id"] = fields["user_id"] or None
    fields["application_id"] = fields["application_id"] or None
    if certificate_name is None:
        show_secret(manager.create_api_key(**fields), as_json=as_json)
    elif isinstance(manager, CertificateRegistrar):
        show_registration(manager.register_certificate(certificate_name, **fields), as_json=as_json)
    else:
        raise click.UsageError(
            "--certificate needs --database-url or --data-dir: callers cannot register certificates"
        )


@keys.command("list")
@click.option("--revoked", "show_revoked", is_flag=True, help="Also list revoked keys.")
@_manager_options
def list_(*, manager: KeyManager, show_revoked: bool, as_json: bool) -> None:
    """List keys, the newest first.

    If the output is not a terminal, each key is one line of tab-separated values: id, name, scopes, user,
    application, the times of creation, expiry, last use and revocation, and the certificate's name.
    """
    show_keys(list(manager.list_api_keys(show_revoked=show_revoked)), as_json=as_json)


@keys.command()
@key_argument
@overlap_option
@expiry_option
@_manager_options
def rotate(
    *,
    manager: KeyManager,
    api_key_id: str,
    overlap: timedelta,
    expire_time: datetime | None,
    as_json: bool,
) -> None:
    """Give a key a new secret. Standard output has only the key, which is never shown again."""
    rotated = manager.rotate_api_key(api_key_id, overlap=overlap, expire_time=expire_time)
    show_secret(rotated, as_json=as_json)


@keys.command()
@key_argument
@_manager_options
def revoke(*, manager: KeyManager, api_key_id: str, as_json: bool) -> None:
    """Revoke a key. Within a few seconds every server refuses it, and its open streams end."""
    revoked = manager.revoke_api_key(api_key_id)
    if as_json:
        show_json(api_key=revoked)
    else:
        click.echo(f"{revoked.api_key_id} revoked")
