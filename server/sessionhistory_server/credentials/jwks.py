"""The public keys of an issuer of tokens: a JSON Web Key Set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jwt import InvalidKeyError
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from sessionhistory_server.credentials.strict_json import parse_object
from sessionhistory_server.limits import MAX_JWKS_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
# A verification with a longer key blocks the event loop for milliseconds.
_MIN_RSA_BITS: Final = 2_048
_MAX_RSA_BITS: Final = 8_192

# The members that contain the private part of a key, or a secret.
_SECRETS: Final = ("d", "k", "p", "q")

# By type and curve.
_KINDS: Final[dict[tuple[str, str], tuple[tuple[str, ...], Callable[[dict[str, Any]], Any]]]] = {
    ("RSA", ""): (_RSA, RSAAlgorithm.from_jwk),
    ("EC", "P-256"): (("ES256",), ECAlgorithm.from_jwk),
    ("EC", "P-384"): (("ES384",), ECAlgorithm.from_jwk),
    ("EC", "P-521"): (("ES512",), ECAlgorithm.from_jwk),
    ("OKP", "Ed25519"): (("EdDSA",), OKPAlgorithm.from_jwk),
}


class JwksError(Exception):
    """The keys cannot be used. The message has the reason, and quotes no contents."""


class PublicKey(NamedTuple):
    """A key that verifies signatures."""

    key_id: str | None
    algorithms: tuple[str, ...]
    """The algorithms that the key is for."""
    key: Any
    """The key of ``cryptography``."""


class Jwks:
    """The keys of a set that verify signatures of the allowed algorithms.

    Other keys of the set are ignored: those of other types and for other uses, symmetric ones, and private
    ones, because a signature proves nothing if its key is published.

    Args:
        data: The set, as the issuer publishes it.
        allowed: Some of ``ALGORITHMS``.

    Raises:
        JwksError: the bytes are no set, or the set has too many keys, or none that can be used.
    """

    def __init__(self, data: bytes, allowed: Collection[str]) -> None:
        self.data = data
        entries = _entries(data)
        self._keys = [key for entry in entries if (key := _key_of(entry, allowed)) is not None]
        if not self._keys:
            raise JwksError("has no public key for the allowed algorithms")

    def find(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """Return the key for a token; ``None``: there is none.

        Args:
            key_id: The id that the token names; ``None``: none, which is enough if there is only one key.
            algorithm: The algorithm of the token, which the key must be for.
        """
        if key_id is None and len(self._keys) > 1:
            return None
        for key in self._keys:
            if (key_id is None or key.key_id == key_id) and algorithm in key.algorithms:
                return key
        return None


def _entries(data: bytes) -> list[Any]:
    try:
        entries = parse_object(data).get("keys")
    except ValueError:
        raise JwksError("has no valid JSON") from None
    if not isinstance(entries, list):
        raise JwksError('has no list "keys"')
    if len(entries) > MAX_JWKS_KEYS:
        raise JwksError(f"has more than {MAX_JWKS_KEYS} keys")
    return entries


def _key_of(entry: Any, allowed: Collection[str]) -> PublicKey | None:  # noqa: ANN401 - any JSON
    """Return the key of an entry; ``None``: it is not one that verifies signatures of these algorithms."""
    if not isinstance(entry, dict) or any(name in entry for name in _SECRETS):
        return None
    uses = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(uses, list) or "verify" not in uses:
        return None
    key_id = entry.get("kid")
    algorithms, make = _KINDS.get((str(entry.get("kty")), str(entry.get("crv", ""))), ((), None))
    algorithms = tuple(name for name in algorithms if name in allowed and entry.get("alg", name) == name)
    if make is None or not algorithms or not isinstance(key_id, str | None):
        return None
    try:
        key = make(entry)
    except (InvalidKeyError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if entry["kty"] == "RSA" and not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
        return None
    return PublicKey(key_id, algorithms, key)
