"""The options that the client's and the server's commands have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SERVER_VARIABLE: Final = "SESSION_HISTORY_SERVER"
DEFAULT_SERVER: Final = "127.0.0.1:50051"

json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def server_option(
    name: str,
    *,
    help_text: str,
    variables: str | Sequence[str] = SERVER_VARIABLE,
    callback: Callable[[click.Context, click.Parameter, str], str] | None = None,
) -> Callable[[Any], Any]:
    """Return the option ``--server``.

    Args:
        name: The name of the command's argument.
        help_text: The help of the option.
        variables: The environment variables that set it. The first one that is set counts.
        callback: Checks the value.
    """
    return click.option(
        "--server",
        name,
        metavar="HOST:PORT",
        envvar=variables,
        show_envvar=True,
        default=DEFAULT_SERVER,
        callback=callback,
        help=help_text,
    )
