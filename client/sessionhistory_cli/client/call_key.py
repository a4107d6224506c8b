"""The key that a command sends with its calls: from an option, the context, or a variable."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sessionhistory_cli.endpoint import is_typed

if TYPE_CHECKING:
    from sessionhistory_cli.endpoint import Endpoint

KEY_VARIABLE: Final = "SESSION_HISTORY_API_KEY"

Key = str | Callable[[], str]
"""A key, or a function that reads it again for each attempt of a call."""

_KEY: Final = re.compile(r"[!-~]+")
_OPTIONS: Final = (
    click.option(
        "--api-key",
        metavar="KEY",
        envvar=KEY_VARIABLE,
        show_envvar=True,
        help="API key or token. Other users of this machine can read arguments: prefer the variable.",
    ),
    click.option(
        "--api-key-file",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar=f"{KEY_VARIABLE}_FILE",
        show_envvar=True,
        help="File with the API key or token, which is read for each call.",
    ),
    click.option(
        "--plaintext-key",
        is_flag=True,
        help="Send the key also without TLS to another machine, because the network is trusted.",
    ),
)
_TEXT, _FILE = "api_key", "api_key_file"


def key_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of the key, which the command gets as separate arguments."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


def call_key(endpoint: Endpoint, **given: Any) -> Key | None:  # noqa: ANN401 - the options, by name
    """Return the key: that of the options that are typed, else that of the context, else of the variables.

    A context replaces the variables, also if it has no key: no server gets the key of another.

    Raises:
        click.UsageError: a key and a file are given in the same place.
    """
    click_context = click.get_current_context()
    place = "--api-key and --api-key-file"
    typed = {name: value for name, value in given.items() if is_typed(click_context, name)}
    if typed:
        given = typed
    elif endpoint.context:
        given = {_TEXT: endpoint.context.api_key, _FILE: endpoint.context.api_key_file}
        place = f"the context {endpoint.context.name}: api_key and api_key_file"
    text, file = given.get(_TEXT), given.get(_FILE)
    if text is not None and file is not None:
        raise click.UsageError(f"{place} exclude each other")
    return text if file is None else partial(_read, file)


def _read(file: Path) -> str:
    """Return the key in a file. No error quotes the contents.

    Raises:
        click.UsageError: the file cannot be read, or has no key.
    """
    try:
        text = file.read_text().strip()
    except OSError as error:
        raise click.UsageError(f"the key cannot be read from {file}: {error.strerror}") from error
    except ValueError:
        text = ""
    if not _KEY.fullmatch(text):
        raise click.UsageError(f"{file} must have a key and nothing else, in ASCII and without spaces")
    return text
