"""Read contexts: servers with the options to call them, by name, from a file of the user."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

_PATHS: Final = ("ca", "cert", "key", "api_key_file")
_KEYS: Final = {
    "server": str,
    "tls": bool,
    **dict.fromkeys(_PATHS, str),
    "api_key": str,
    "plaintext_key": bool,
}
_OF_OTHERS: Final = 0o077


@dataclass(frozen=True, kw_only=True)
class Context:
    """A server and the options to call it."""

    name: str
    target: str
    tls: bool | None = None
    """Whether to use TLS; ``None``: if a file of TLS is named."""
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    api_key: str | None = field(default=None, repr=False)
    api_key_file: Path | None = None
    plaintext_key: bool = False
    """Whether to send the key also without TLS to another machine."""

    @property
    def uses_tls(self) -> bool:
        """Whether calls use TLS."""
        return bool(self.ca or self.cert or self.key) if self.tls is None else self.tls

    @property
    def has_api_key(self) -> bool:
        """Whether calls have a key."""
        return self.api_key is not None or self.api_key_file is not None


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
    return _context(file, name, found[name])


def read_contexts() -> list[Context]:
    """Return all contexts, in the order of the file; none if there is no file.

    Raises:
        click.UsageError: the file is not valid or not private.
    """
    file = contexts_file()
    found = _read(file) if file.exists() else {}
    return [_context(file, name, values) for name, values in found.items()]


def _context(file: Path, name: str, values: Any) -> Context:  # noqa: ANN401 - of TOML
    if not isinstance(values, dict):
        raise click.UsageError(f"{file}: {name} must be a table: [{name}]")
    for key, value in values.items():
        if not isinstance(value, _KEYS.get(key, ())):
            known = ", ".join(f"{each} ({kind.__name__})" for each, kind in _KEYS.items())
            raise click.UsageError(f"{file}: {name}: {key} is unknown or of another type; known are {known}")
    if "server" not in values:
        raise click.UsageError(f"{file}: {name}: server is missing")
    paths = {each: _path(file, values[each]) for each in _PATHS if each in values}
    options = {each: value for each, value in values.items() if each != "server"}
    return Context(name=name, target=values["server"], **(options | paths))


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


def _path(file: Path, value: str) -> Path:
    """Return a path, which the file may give relative to its own folder, or to the user's with ``~``."""
    return file.parent / Path(value).expanduser()
