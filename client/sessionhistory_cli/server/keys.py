"""Manage API keys in the database itself, with the methods that the client has for them."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from sessionhistory import ApiKey, ApiKeySecret, Scope
from sessionhistory_cli.server.direct import reached
from sessionhistory_server.call_context import Subject
from sessionhistory_server.credentials.certificates import normalized
from sessionhistory_server.model import api_key as model
from sessionhistory_server.model.caller import ADMIN, DEFAULT_TENANT, Caller
from sessionhistory_server.observability import trail
from sessionhistory_server.store.columns.times import micros, timestamp
from sessionhistory_server.usecases.api_keys import managing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator
    from datetime import datetime, timedelta
    from pathlib import Path

    from sessionhistory_server.usecases.api_keys import ApiKeys

T = TypeVar("T")

_PAGE_SIZE: Final = 1_000


@contextmanager
def opened(
    database_url: str | None, data_dir: Path | None, tenant: str | None, *, creates: bool
) -> Iterator[DatabaseKeys]:
    """Yield the keys of a tenant in a database, or in the embedded Postgres of a data directory.

    With ``creates``, the data directory need not exist.

    Raises:
        click.ClickException: the database cannot be used, or refuses a change.
    """
    with reached(database_url, data_dir, creates=creates) as url:
        try:
            yield DatabaseKeys(url, tenant or DEFAULT_TENANT)
        except model.CertificateNameTakenError as error:
            raise click.ClickException(str(error)) from error


class DatabaseKeys:
    """The API keys of a tenant in a database, with the methods of ``SessionHistoryClient`` for keys."""

    def __init__(self, url: str, tenant_id: str) -> None:
        self._url = url
        self._caller = Caller(tenant_id, None, None, frozenset({ADMIN}), "", must_name_user=False)

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
        asked = _asked(
            scopes,
            display_name=display_name,
            user_id=user_id,
            application_id=application_id,
            require_user_id=require_user_id,
            expire_time=expire_time,
        )
        made = _shown_with_secret(*self._run(lambda keys: keys.create(self._caller, asked)))
        self._note(trail.KEY_CREATION, made.api_key.api_key_id)
        return made

    def register_certificate(
        self,
        certificate_name: str,
        scopes: Collection[Scope],
        **fields: Any,  # noqa: ANN401 - as those of create_api_key
    ) -> ApiKey:
        """Register the name of a certificate as a key without a secret.

        Raises:
            click.BadParameter: it is no name that can be registered.
        """
        name = normalized(certificate_name)
        if name is None:
            raise click.BadParameter(
                "must be URI: and a URI of printable ASCII, or DNS: and the name of a host without * and"
                " without a dot at its end",
                param_hint="--certificate",
            )
        asked = _asked(scopes, **fields)
        made = _shown(self._run(lambda keys: keys.register_certificate(self._caller, name, asked)))
        self._note(trail.KEY_CREATION, made.api_key_id)
        return made

    def list_api_keys(self, *, show_revoked: bool) -> Iterator[ApiKey]:
        """Yield keys, the newest first."""
        token = ""
        while True:
            find = partial(_find, self._caller, show_revoked=show_revoked, page_token=token)
            found, token = self._run(find)
            yield from map(_shown, found)
            if not token:
                return

    def rotate_api_key(
        self, api_key_id: str, *, overlap: timedelta, expire_time: datetime | None
    ) -> ApiKeySecret:
        """Give a key a new secret."""
        end = micros(expire_time)
        rotated = self._run(
            lambda keys: keys.rotate(self._caller, api_key_id, overlap=overlap, expire_time=end)
        )
        self._note(trail.KEY_ROTATION, api_key_id)
        return _shown_with_secret(*rotated)

    def revoke_api_key(self, api_key_id: str) -> ApiKey:
        """Revoke a key."""
        revoked = self._run(lambda keys: keys.revoke(self._caller, api_key_id))
        self._note(trail.KEY_REVOCATION, api_key_id)
        return _shown(revoked)

    def _run(self, work: Callable[[ApiKeys], Awaitable[T]]) -> T:
        return asyncio.run(managing(self._url, work))

    def _note(self, act: str, api_key_id: str) -> None:
        trail.write(Subject(self._caller.tenant_id, act=act, api_key_id=api_key_id), "OK")


async def _find(
    caller: Caller, keys: ApiKeys, *, show_revoked: bool, page_token: str
) -> tuple[list[model.ApiKey], str]:
    return await keys.find(caller, show_revoked=show_revoked, page_size=_PAGE_SIZE, page_token=page_token)


def _asked(
    scopes: Collection[Scope],
    *,
    expire_time: datetime | None,
    **fields: Any,  # noqa: ANN401 - the others of the model, by name
) -> model.ApiKeyFields:
    chosen = tuple(sorted(scope.value for scope in scopes))
    return model.ApiKeyFields(scopes=chosen, expire_time=micros(expire_time), **fields)


def _shown_with_secret(key: model.ApiKey, secret: str) -> ApiKeySecret:
    return ApiKeySecret(api_key=_shown(key), secret=secret)


def _shown(key: model.ApiKey) -> ApiKey:
    fields: dict[str, Any] = key._asdict()
    times = {name: timestamp(value) for name, value in fields.items() if name.endswith("_time")}
    return ApiKey(**fields | times | {"scopes": tuple(map(Scope, key.scopes))})
