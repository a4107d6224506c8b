"""Connect a command to its server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from sessionhistory import SessionHistoryClient, SessionHistoryError
from sessionhistory_cli.client.call_errors import explain
from sessionhistory_cli.endpoint import Endpoint, endpoint_options

if TYPE_CHECKING:
    from collections.abc import Iterator

Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Server:
    """The server, and the time limit of calls."""

    endpoint: Endpoint
    timeout_seconds: int

    @contextmanager
    def client(self) -> Iterator[SessionHistoryClient]:
        """Yield a client. An error of a call ends the command.

        Raises:
            click.ClickException: a call failed. The message has the remedy.
        """
        with SessionHistoryClient(
            self.endpoint.target,
            credentials=self.endpoint.credentials(),
            timeout_seconds=self.timeout_seconds,
        ) as client:
            try:
                yield client
            except SessionHistoryError as error:
                raise self.explain(error) from error

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
        def with_server(*, endpoint: Endpoint, timeout_seconds: int, **rest: Any) -> None:  # noqa: ANN401 - the command's own, by name
            command(server=Server(endpoint, timeout_seconds), **rest)

        return endpoint(timeout(with_server))

    return decorate
