"""Read contexts: servers with the options to call them, by name, from a file of the user."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

_KEYS: Final = {"server": str, "tls": bool, "ca": str, "cert": str, "key": str}
_OF_OTHERS: Final = 0o077


class Context(NamedTuple):
    """A server and the options to call it."""

    target: str
    tls: bool | None
    """Whether to use TLS; ``None``: if a file of TLS is named."""
    ca: Path | None
    cert: Path | None
    key: Path | None


def contexts_file() -> Path:
    """Return the path of the file."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "session-history" / "contexts.toml"


def read_context(name: str) -> Context:
    """Return the context of a name. No error quotes a value, because values may be secrets.

    Raises:
        click.UsageError: there is no such context, or the file is not valid or not private.
    """
    file = contexts_file()
    found = _read(file)
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise click.UsageError(f"no context {name!r} in {file}; it has: {known}")
    values = found[name]
    if not isinstance(values, dict):
        raise click.UsageError(f"{file}: {name} must be a table: [{name}]")
    for key, value in values.items():
        if not isinstance(value, _KEYS.get(key, ())):
            known = ", ".join(f"{each} ({kind.__name__})" for each, kind in _KEYS.items())
            raise click.UsageError(f"{file}: {name}: {key} is unknown or of another type; known are {known}")
    if "server" not in values:
        raise click.UsageError(f"{file}: {name}: server is missing")
    ca, cert, key = (_path(file, values.get(each)) for each in ("ca", "cert", "key"))
    return Context(values["server"], values.get("tls"), ca, cert, key)


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            # On Windows the folder of the user is private, and the mode says nothing.
            if os.name == "posix" and os.fstat(opened.fileno()).st_mode & _OF_OTHERS:
                raise click.UsageError(f"other users may read or change {file}: run chmod 600 '{file}'")
            return tomllib.load(opened)
    except OSError as error:
        raise click.UsageError(f"the contexts cannot be read from {file}: {error.strerror}") from error
    except ValueError as error:  # invalid TOML, or bytes that are no UTF-8
        raise click.UsageError(f"{file} is not valid TOML{_place(error)}") from error


def _place(error: ValueError) -> str:
    """Return the place of the error, without the text there."""
    _, found, place = str(error).rpartition("(at ")
    return f" ({place}" if found else ""


def _path(file: Path, value: str | None) -> Path | None:
    """Return a path, which the file may give relative to its own folder, or to the user's with ``~``."""
    return None if value is None else file.parent / Path(value).expanduser()
