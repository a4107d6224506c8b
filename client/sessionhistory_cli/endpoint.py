"""The options that say which server to call, and how."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from sessionhistory_cli.contexts import Context, read_context
from sessionhistory_cli.tls import TlsFiles, diagnose

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc

Command = Callable[..., None]

SERVER_VARIABLE: Final = "SESSION_HISTORY_SERVER"
CONTEXT_VARIABLE: Final = "SESSION_HISTORY_CONTEXT"
_DEFAULT_SERVER: Final = "127.0.0.1:50051"
_FILES: Final = ("ca", "cert", "key")

_PORT: Final = r":[1-9][0-9]{0,4}"
_IPV4: Final = rf"[0-9.]+{_PORT}"
_IPV6: Final = rf"\[[\w:.%]+\]{_PORT}"
_NAME: Final = rf"[^\s:/,\[\]]+{_PORT}"
_TARGET: Final = re.compile(
    rf"(dns:(//[^\s/]*/)?)?({_NAME}|{_IPV6})|ipv4:{_IPV4}(,{_IPV4})*|ipv6:{_IPV6}(,{_IPV6})*|unix:\S+"
)
_FORMS: Final = (
    "must be HOST:PORT, or one of dns:///HOST:PORT, ipv4:ADDRESS:PORT, ipv6:[ADDRESS]:PORT, unix:PATH"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server to call."""

    target: str
    tls: TlsFiles | None = None
    """The files of TLS; ``None``: plaintext."""
    context: Context | None = None
    """The context that named the server."""

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Return the credentials of a channel; ``None``: plaintext.

        Raises:
            click.UsageError: a file of TLS cannot be used.
        """
        return self.tls.credentials() if self.tls else None

    def diagnose(self) -> str:
        """Return why no call succeeds, with the remedy, if the reason is TLS; else an empty text."""
        return diagnose(self.target, self.tls)


def endpoint_options(
    *, help_text: str, variables: Sequence[str] = (SERVER_VARIABLE,)
) -> Callable[[Command], Command]:
    """Return the options that name the server. The command gets them as one argument, ``endpoint``.

    Args:
        help_text: The help of ``--server``.
        variables: The environment variables that set ``--server``. The first one that is set counts.
    """
    options = (
        click.option(
            "--server",
            "target",
            metavar="HOST:PORT",
            envvar=variables,
            show_envvar=True,
            default=_DEFAULT_SERVER,
            callback=_check_target,
            help=help_text,
        ),
        _option(
            "--context", "context_name", metavar="NAME", help="Server, TLS options and key of a context."
        ),
        _option("--tls/--plaintext", default=None, help="Use TLS. Default: if a file of TLS is named."),
        _file_option("--ca", "Authorities to trust, in PEM. Default: those that this system trusts."),
        _file_option("--cert", "The client's own certificate, in PEM, if the server requires one."),
        _file_option("--key", "The key of that certificate, in PEM."),
    )

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_endpoint(**values: Any) -> None:  # noqa: ANN401 - the command's own, by name
            given = {name: values.pop(name) for name in ("target", "context_name", "tls", *_FILES)}
            command(endpoint=_endpoint(click.get_current_context(), given), **values)

        return reduce(lambda decorated, option: option(decorated), reversed(options), with_endpoint)

    return decorate


def names_a_server() -> bool:
    """Return whether an option, a variable or a context of the running command names a server."""
    click_context = click.get_current_context()
    typed = is_typed(click_context, "target")
    return typed or bool(os.environ.get(SERVER_VARIABLE) or click_context.params["context_name"])


def _option(flag: str, *names: str, **values: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - click's own
    variable = "SESSION_HISTORY_" + flag.partition("/")[0].removeprefix("--").upper()
    return click.option(flag, *names, envvar=variable, show_envvar=True, **values)


def _file_option(flag: str, text: str) -> Callable[[Any], Any]:
    kind = click.Path(dir_okay=False, path_type=Path)
    return _option(flag, metavar="FILE", type=kind, help=text)


def _endpoint(click_context: click.Context, given: dict[str, Any]) -> Endpoint:
    """Return the endpoint: a context replaces the variables, and the options that are typed replace both.

    A typed server excludes a context, so that no server gets the certificate of another.

    Raises:
        click.UsageError: the options contradict each other, or there is no such context.
    """
    typed = {name for name in given if is_typed(click_context, name)}
    context = None
    if {"target", "context_name"} <= typed:
        raise click.UsageError("--server and --context exclude each other: a context names its server")
    if given["context_name"] and "target" not in typed:
        context = _context(given["context_name"])
        given = vars(context) | {name: given[name] for name in typed}
    files = {name: given[name] for name in _FILES}
    if given["tls"] is False and typed & files.keys():
        raise click.UsageError("--plaintext excludes --ca, --cert and --key")
    uses_tls = any(files.values()) if given["tls"] is None else given["tls"]
    return Endpoint(given["target"], TlsFiles(**files) if uses_tls else None, context)


def is_typed(click_context: click.Context, name: str) -> bool:
    """Return whether an option comes from the command line."""
    return click_context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _context(name: str) -> Context:
    found = read_context(name)
    if not _TARGET.fullmatch(found.target):
        raise click.UsageError(f"the server of the context {name} {_FORMS}")
    return found


def _check_target(_: click.Context, __: click.Parameter, target: str) -> str:
    """Refuse a malformed target, because gRPC would try some of them for seconds."""
    if not _TARGET.fullmatch(target):
        raise click.BadParameter(_FORMS)
    return target
