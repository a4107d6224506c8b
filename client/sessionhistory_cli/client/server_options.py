"""Connect a command to its server."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import grpc

from sessionhistory import SessionHistoryClient, SessionHistoryError
from sessionhistory_cli.client.call_errors import explain
from sessionhistory_cli.shared_options import server_option

if TYPE_CHECKING:
    from collections.abc import Iterator

Command = Callable[..., None]

_PORT: Final = r":[1-9][0-9]{0,4}"
_IPV4: Final = rf"[0-9.]+{_PORT}"
_IPV6: Final = rf"\[[\w:.%]+\]{_PORT}"
_NAME: Final = rf"[^\s:/,\[\]]+{_PORT}"
_TARGET: Final = re.compile(
    rf"(dns:(//[^\s/]*/)?)?({_NAME}|{_IPV6})|ipv4:{_IPV4}(,{_IPV4})*|ipv6:{_IPV6}(,{_IPV6})*|unix:\S+"
)
_FORMS: Final = "dns:///HOST:PORT, ipv4:ADDRESS:PORT, ipv6:[ADDRESS]:PORT, unix:PATH"


@dataclass(frozen=True, slots=True)
class Server:
    """The address of the server, and the time limit of calls."""

    target: str
    tls: bool
    timeout_seconds: int

    @contextmanager
    def client(self) -> Iterator[SessionHistoryClient]:
        """Yield a client. An error of a call ends the command.

        Raises:
            click.ClickException: a call failed. The message has the remedy.
        """
        credentials = grpc.ssl_channel_credentials(_system_roots()) if self.tls else None
        with SessionHistoryClient(
            self.target, credentials=credentials, timeout_seconds=self.timeout_seconds
        ) as client:
            try:
                yield client
            except SessionHistoryError as error:
                raise self.explain(error) from error

    def explain(self, error: SessionHistoryError) -> click.ClickException:
        """Return the error of a command for a failed call to this server."""
        return explain(error, self.target, tls=self.tls, timeout_seconds=self.timeout_seconds)


def server_options(*, timeout_seconds: int) -> Callable[[Command], Command]:
    """Return the options that name the server. The command gets them as one argument, ``server``.

    Args:
        timeout_seconds: The default time limit of a call.
    """
    options = (
        server_option(
            "target",
            help_text="Address of the server, or a gRPC target (dns:, ipv4:, ipv6:, unix:).",
            callback=_check_target,
        ),
        click.option(
            "--tls", is_flag=True, help="Use TLS, with the certificate authorities that this system trusts."
        ),
        click.option(
            "--timeout-seconds",
            type=click.IntRange(1, 3600),
            default=timeout_seconds,
            help="How long each call may take, retries included.",
        ),
    )

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_server(*, target: str, tls: bool, timeout_seconds: int, **rest: Any) -> None:  # noqa: ANN401 - the command's own, by name
            command(server=Server(target, tls, timeout_seconds), **rest)

        return reduce(lambda decorated, option: option(decorated), reversed(options), with_server)

    return decorate


def _check_target(_: click.Context, __: click.Parameter, target: str) -> str:
    """Refuse a malformed target, because gRPC would try some of them for seconds."""
    if not _TARGET.fullmatch(target):
        raise click.BadParameter(f"must be HOST:PORT, or one of {_FORMS}")
    return target


def _system_roots() -> bytes | None:
    """Return the certificates that OpenSSL trusts on this system; ``None``: gRPC uses its own."""
    file = ssl.get_default_verify_paths().cafile
    return Path(file).read_bytes() if file else None
