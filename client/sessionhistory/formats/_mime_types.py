"""The types of media of which a message has only the URI.

The table of the standard library depends on the machine; this one is the same in all languages.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

_BY_ENDING: Final = {
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "png": "image/png",
    "webp": "image/webp",
}


def mime_type_of(uri: str) -> str:
    """Return the type that the ending of a URI says; empty if it says none."""
    try:
        path = urlsplit(uri).path
    except ValueError:
        return ""
    return _BY_ENDING.get(path.rpartition(".")[2].lower(), "")
