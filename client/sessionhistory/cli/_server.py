"""The server that a command asks: the options that name it, its client, and what to say if it fails."""

from __future__ import annotations

import re
import ssl
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce, wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click
import grpc

from sessionhistory import SessionHistoryClient, SessionHistoryError
from sessionhistory.cli._text import counted, visible
from sessionhistory.errors import (
    AbortedError,
    AlreadyExistsError,
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    SessionNotFoundError,
    UnavailableError,
)

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
# What does not become another answer by itself.
_REFUSALS: Final = (NotFoundError, AlreadyExistsError, AbortedError, FailedPreconditionError)
_FORMS: Final = "dns:///HOST:PORT, ipv4:ADDRESS:PORT, ipv6:[ADDRESS]:PORT, unix:PATH"


class Interrupted(click.ClickException):
    """Ends a command as Ctrl-C ends others."""

    exit_code = 130

    def show(self, file: IO[Any] | None = None) -> None:
        """Say so, on a line of its own: a terminal has shown ``^C``, and stays behind it."""
        if sys.stderr.isatty():
            click.echo(err=True)
        super().show(file)


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server is, and how long a call of it may take."""

    target: str
    tls: bool
    timeout_seconds: int

    @contextmanager
    def client(self) -> Iterator[SessionHistoryClient]:
        """Yield a client; the errors of its calls end the command.

        Raises:
            click.ClickException: a call failed; the message says what to do.
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
        """Return what to tell of a failed call, in one line."""
        said, kind = visible(str(error)), click.ClickException
        match error:
            case InvalidArgumentError():
                return click.UsageError(said)
            case SessionNotFoundError():
                return kind(
                    f"{said}: it is missing, deleted or another user's; see `session-history sessions`"
                )
            case DeadlineExceededError():
                patience = counted(self.timeout_seconds, "second")
                return kind(
                    f"no answer from {self.target} within {patience}: is --server right?"
                    " --timeout-seconds gives it longer"
                )
            case UnavailableError(reason=""):
                over = " with TLS" if self.tls else ""
                return kind(
                    f"no server answers at {self.target}{over}: start one with `session-history serve`,"
                    " or name it with --server"
                )
            case _ if error.code is grpc.StatusCode.UNIMPLEMENTED:
                return kind(f"what answers at {self.target} is another service: name the right --server")
        why = error.reason or error.code.name
        refused = isinstance(error, _REFUSALS)
        return kind(f"{said} ({why})" if refused else f"{self.target} cannot do this now ({why}): {said}")


def server_options(*, timeout_seconds: int) -> Callable[[Command], Command]:
    """Give a command the options that name the server, as one argument: ``server``.

    Args:
        timeout_seconds: How long a call may take unless the caller says.
    """
    options = (
        click.option(
            "--server",
            "target",
            metavar="HOST:PORT",
            envvar="SESSION_HISTORY_SERVER",
            show_envvar=True,
            default="127.0.0.1:50051",
            callback=_judged,
            help="Address of the server, or a gRPC target (dns:, ipv4:, ipv6:, unix:).",
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


def _judged(_: click.Context, __: click.Parameter, target: str) -> str:
    """Return a target that makes sense; gRPC would look for some of the others for seconds."""
    if not _TARGET.fullmatch(target):
        raise click.BadParameter(f"must be HOST:PORT, or one of {_FORMS}")
    return target


def _system_roots() -> bytes | None:
    """Return the certificates that OpenSSL trusts on this system; ``None``: those that gRPC brings."""
    file = ssl.get_default_verify_paths().cafile
    return Path(file).read_bytes() if file else None
