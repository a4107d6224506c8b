"""The text of API keys: ``shk_ID_SECRET``.

The fixed prefix and length, and the checksum at the end, let scanners recognise a key in a file.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib
from typing import Final, NamedTuple

PREFIX: Final = "shk_"

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_CHARACTERS: Final = 16
_SECRET_BYTES: Final = 32
_SECRET_CHARACTERS: Final = 43
_CHECKSUM_CHARACTERS: Final = 6

_ID_END: Final = len(PREFIX) + _ID_CHARACTERS
_CHECKSUM_START: Final = _ID_END + 1 + _SECRET_CHARACTERS
_LENGTH: Final = _CHECKSUM_START + _CHECKSUM_CHARACTERS


class ParsedKey(NamedTuple):
    """A key as it is looked up: without its secret."""

    key_id: str
    secret_hash: bytes
    """SHA-256 of the secret and its checksum. A slow hash would only protect a secret that can be guessed."""


def new_id() -> str:
    """Return an id for a key: 16 letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARACTERS))


def new_key(key_id: str) -> str:
    """Return the text of a key with this id and a new secret of 32 random bytes."""
    secret = _digits(int.from_bytes(secrets.token_bytes(_SECRET_BYTES)), _SECRET_CHARACTERS)
    text = f"{PREFIX}{key_id}_{secret}"
    return text + _checksum(text)


def parse(text: str) -> ParsedKey | None:
    """Return the id and the hash of a key; ``None`` if the text has not the form of a key."""
    if len(text) != _LENGTH or text[_ID_END] != "_" or not text.startswith(PREFIX) or not text.isascii():
        return None
    return ParsedKey(text[len(PREFIX) : _ID_END], hashlib.sha256(text[_ID_END + 1 :].encode()).digest())


def id_of(text: str) -> str:
    """Return the id of a key, which is no secret; empty if the text has not the form of a key."""
    return text[len(PREFIX) : _ID_END] if parse(text) and text[len(PREFIX) : _ID_END].isalnum() else ""


def is_intact(text: str) -> bool:
    """Return whether the checksum of a key is right, as it is unless the key was mistyped."""
    return text[_CHECKSUM_START:] == _checksum(text[:_CHECKSUM_START])


def _checksum(text: str) -> str:
    return _digits(zlib.crc32(text.encode()), _CHECKSUM_CHARACTERS)


def _digits(number: int, length: int) -> str:
    """Return a number in base 62, with leading zeros."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
