"""Translate statements to the form that libpq takes."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Final, NamedTuple

_PARAMETER: Final = re.compile(r"%\((\w+)\)s")
_MAX_TEXTS: Final = 1_000


class Statement(NamedTuple):
    """A statement with numbered parameters, and their names in the order of the numbers.

    ``name`` is a hash of the text, so that two statements never have the same name. Behind a pooler,
    processes of several releases share the prepared statements of a backend.
    """

    name: bytes
    text: bytes
    parameters: tuple[str, ...]


@lru_cache(maxsize=_MAX_TEXTS)
def numbered(query: str) -> Statement:
    """Return the statement for a text with parameters such as ``%(name)s``."""
    names = tuple(dict.fromkeys(_PARAMETER.findall(query)))
    numbers = {name: f"${number}" for number, name in enumerate(names, start=1)}
    text = _PARAMETER.sub(lambda found: numbers[found[1]], query).encode()
    return Statement(b"sh_" + hashlib.blake2b(text, digest_size=16).hexdigest().encode(), text, names)
