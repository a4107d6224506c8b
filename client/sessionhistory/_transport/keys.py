"""The key of a client: the header that sends it, and not in plain text to another machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sessionhistory._transport.targets import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory._transport.options import Metadata

_KEY: Final = re.compile(r"[!-~]+")


class _Bearer(str):
    """The header. Tools that report errors with the variables of each frame show its repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return a text without the key."""
        return "'Bearer …'"


def header(key: object) -> Metadata:
    """Return the metadata that sends a key.

    Raises:
        ValueError: HTTP/2 does not allow the key. The message does not contain it.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        del key  # for the same reason
        raise ValueError("key: must be the text of a key or token, in ASCII and without spaces")
    return (("authorization", _Bearer(f"Bearer {key}")),)


def check_transport(
    target: str, *, is_plaintext: bool, key: str | Callable[[], object] | None, allow: bool
) -> None:
    """Refuse to send a key in plain text over a network, unless the caller allows it.

    Raises:
        ValueError: it would be.
    """
    if key is not None and is_plaintext and not allow and not is_loopback(target):
        raise ValueError(
            "key: it would be sent in plain text to another machine: pass credentials, or"
            " plaintext_key=True if the network is trusted"
        )
