"""The key of a client: send it with each attempt, and not in plain text to another machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sessionhistory._transport.options import Metadata, checked_metadata
from sessionhistory._transport.targets import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    MetadataMapping = Mapping[str, str | bytes]

_KEY: Final = re.compile(r"[!-~]+")

Key = str | Callable[[], str]


class CallMetadata:
    """The metadata of each attempt of a call: the caller's, and the key. No message or repr contains the key.

    Args:
        metadata: The caller's metadata, or a function that returns it.
        key: The key, or a function that returns a fresh one; ``None``: none.
    """

    def __init__(self, metadata: MetadataMapping | Callable[[], MetadataMapping], key: Key | None) -> None:
        self._metadata = metadata if callable(metadata) else checked_metadata(metadata)
        self._key = key if key is None or callable(key) else _sent(key)

    def of_attempt(self) -> Metadata:
        """Return the metadata of the next attempt.

        Raises:
            ValueError: HTTP/2 does not allow the metadata, or the key.
        """
        metadata = checked_metadata(self._metadata()) if callable(self._metadata) else self._metadata
        if self._key is None:
            return metadata
        value = _sent(self._key()) if callable(self._key) else self._key
        return (*metadata, ("authorization", value))


def check_transport(target: str, *, is_plaintext: bool, key: Key | None, allow: bool) -> None:
    """Refuse to send a key in plain text over a network, unless the caller allows it.

    Raises:
        ValueError: it would be.
    """
    if key is not None and is_plaintext and not allow and not is_loopback(target):
        raise ValueError(
            "key: it would be sent in plain text to another machine: pass credentials, or"
            " plaintext_key=True if the network is trusted"
        )


def _sent(key: object) -> str:
    """Return the header for a key."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ValueError("key: must be the text of a key, in ASCII and without spaces")
    return f"Bearer {key}"
