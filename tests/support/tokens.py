"""Make keys of an issuer and JSON Web Tokens, without the library that verifies them."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

if TYPE_CHECKING:
    from pathlib import Path

ISSUER = "https://id.example.com/"
AUDIENCE = "session-history"

_CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
_CURVE_NAMES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def encode(data: bytes) -> str:
    """Return bytes in base64url, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int, size: int | None = None) -> str:
    return encode(value.to_bytes(size or (value.bit_length() + 7) // 8))


class IssuerKey:
    """A key pair of an issuer."""

    def __init__(self, key_id: str | None, algorithm: str = "ES256", *, bits: int = 2_048) -> None:
        self.key_id = key_id
        self.algorithm = algorithm
        self._private: Any
        if algorithm in _CURVES:
            self._private = ec.generate_private_key(_CURVES[algorithm])
        elif algorithm == "EdDSA":
            self._private = ed25519.Ed25519PrivateKey.generate()
        else:
            self._private = rsa.generate_private_key(65_537, bits)

    @property
    def pem(self) -> bytes:
        """The public key in PEM."""
        return bytes(
            self._private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """Return the public key as an entry of a set. A change to ``None`` removes a member."""
        entry = {"kid": self.key_id, "use": "sig", "alg": self.algorithm, **self._public()} | changes
        return {name: value for name, value in entry.items() if value is not None}

    def private_jwk(self) -> dict[str, Any]:
        """Return an entry that contains the private key."""
        return self.jwk(d=encode(b"private"))

    def _public(self) -> dict[str, Any]:
        public = self._private.public_key()
        if self.algorithm in _CURVES:
            numbers, size = public.public_numbers(), (public.key_size + 7) // 8
            return {
                "kty": "EC",
                "crv": _CURVE_NAMES[self.algorithm],
                "x": _number(numbers.x, size),
                "y": _number(numbers.y, size),
            }
        if self.algorithm == "EdDSA":
            return {"kty": "OKP", "crv": "Ed25519", "x": encode(public.public_bytes_raw())}
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}

    def sign(self, data: bytes) -> bytes:
        """Return the signature of data, in the form of JWTs."""
        if self.algorithm == "EdDSA":
            return bytes(self._private.sign(data))
        digest = _HASHES[self.algorithm[2:]]
        if self.algorithm.startswith("ES"):
            r, s = decode_dss_signature(self._private.sign(data, ec.ECDSA(digest)))
            size = (self._private.key_size + 7) // 8
            return r.to_bytes(size) + s.to_bytes(size)
        kind: Any = (
            padding.PKCS1v15()
            if self.algorithm.startswith("RS")
            else padding.PSS(padding.MGF1(digest), digest.digest_size)
        )
        return bytes(self._private.sign(data, kind, digest))

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a token of this key. A claim or a member of the header that is ``None`` is left out."""
        head = {"alg": self.algorithm, "kid": self.key_id, "typ": "JWT"} | (header or {})
        return self.signed(_json(head), _json(standard_claims() | claims))

    def signed(self, header: bytes, claims: bytes) -> str:
        """Return a token with exactly this header and these claims."""
        text = f"{encode(header)}.{encode(claims)}"
        return f"{text}.{encode(self.sign(text.encode()))}"


def standard_claims() -> dict[str, Any]:
    """Return the claims of a token that is valid for an hour, with all scopes."""
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "scope": "openid read write admin",
        "iat": now,
        "exp": now + 3_600,
        "jti": f"token-{now}",
    }


def _json(members: dict[str, Any]) -> bytes:
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def jwks(*entries: dict[str, Any]) -> bytes:
    """Return a set of keys."""
    return json.dumps({"keys": entries}).encode()


def publish(path: Path, *keys: IssuerKey) -> None:
    """Write a set of keys into a file."""
    path.write_bytes(jwks(*(key.jwk() for key in keys)))


def jwt_settings(place: object, **changes: Any) -> dict[str, Any]:
    """Return the settings of a server that accepts tokens."""
    settings = {
        "auth": ("jwt",),
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "jwt_jwks": str(place),
    }
    return settings | changes
