"""The options of every command that calls a server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from sessionhistory import SessionHistoryClient, SessionHistoryError
from sessionhistory_cli.client.call_errors import explain
from sessionhistory_cli.client.call_key import KEY_VARIABLE, Key, call_key, key_options
from sessionhistory_cli.endpoint import Endpoint, endpoint_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Server:
    """The server, and the time limit of calls."""

    endpoint: Endpoint
    timeout_seconds: int
    api_key: Key | None = field(repr=False)
    plaintext_key: bool

    @contextmanager
    def client(self) -> Iterator[SessionHistoryClient]:
        """Yield a client. An error of a call ends the command.

        Raises:
            click.ClickException: a call failed. The message has the remedy.
        """
        with self._open() as client:
            try:
                yield client
            except SessionHistoryError as error:
                raise self.explain(error) from error

    def _open(self) -> SessionHistoryClient:
        credentials = self.endpoint.credentials()
        try:
            return SessionHistoryClient(
                self.endpoint.target,
                credentials=credentials,
                key=self.api_key,
                plaintext_key=self.plaintext_key,
                timeout_seconds=self.timeout_seconds,
            )
        except ValueError as error:
            if self.api_key is None:
                raise
            remedy = "" if credentials else "; use --tls, or --plaintext-key if the network is trusted"
            raise click.UsageError(f"{self._key_place}: {_of_key(error)}{remedy}") from None

    @property
    def _key_place(self) -> str:
        context = self.endpoint.context
        if callable(self.api_key):
            return "the key in the file"
        return f"{KEY_VARIABLE} (--api-key)" if context is None else f"the key for the context {context.name}"

    def explain(self, error: SessionHistoryError) -> click.ClickException:
        """Return the error of a command for a failed call to this server."""
        return explain(error, self.endpoint, timeout_seconds=self.timeout_seconds)


def server_options(*, timeout_seconds: int) -> Callable[[Command], Command]:
    """Return the options that name the server. The command gets them as one argument, ``server``.

    Args:
        timeout_seconds: The default time limit of a call.
    """
    endpoint = endpoint_options(
        help_text="Address of the server, or a gRPC target (dns:, ipv4:, ipv6:, unix:)."
    )
    timeout = click.option(
        "--timeout-seconds",
        type=click.IntRange(1, 3600),
        default=timeout_seconds,
        help="How long each call may take, retries included.",
    )

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_server(
            *,
            endpoint: Endpoint,
            timeout_seconds: int,
            api_key: str | None,
            api_key_file: Path | None,
            plaintext_key: bool,
            **rest: Any,  # noqa: ANN401 - the command's own, by name
        ) -> None:
            key = call_key(endpoint, api_key=api_key, api_key_file=api_key_file)
            plaintext_key = plaintext_key or bool(endpoint.context and endpoint.context.plaintext_key)
            command(server=Server(endpoint, timeout_seconds, key, plaintext_key), **rest)

        return endpoint(key_options(timeout(with_server)))

    return decorate


def _of_key(error: ValueError) -> str:
    """Return the reason why the client refuses the key. The reason does not contain the key."""
    return str(error).removeprefix("key: ").partition(": pass credentials")[0]
