"""Verify a JSON Web Token with PyJWT, and read the identity of its holder from its claims."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jwt
from jwt.utils import base64url_decode

from sessionhistory_server.credentials.errors import token_refused
from sessionhistory_server.credentials.identity import Identity
from sessionhistory_server.credentials.strict_json import parse_object
from sessionhistory_server.limits import (
    ID_CHARACTERS,
    MAX_ID_CHARACTERS,
    MAX_TOKEN_CHARACTERS,
    MAX_USER_ID_CHARACTERS,
)
from sessionhistory_server.model.caller import ALL_SCOPES, DEFAULT_TENANT

if TYPE_CHECKING:
    from sessionhistory_server.credentials.jwks import Jwks
    from sessionhistory_server.credentials.jwt_rules import JwtRules

# Base64 without padding: a mutation of the text must not be the same token.
_FORM: Final = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_PRINTABLE: Final = re.compile(f"[{ID_CHARACTERS}]{{1,{MAX_ID_CHARACTERS}}}")

# They name other keys than the issuer's, or extensions that change the meaning of a token.
_REFUSED_HEADERS: Final = frozenset({"jku", "jwk", "x5u", "crit", "b64"})

_TIMES: Final = ("exp", "nbf", "iat")
_MAX_SECONDS: Final = 1e12
"""Later times are no times of a token, and NaN is none at all."""


class TokenHeader(NamedTuple):
    """The part of a token that names its key. It is not verified."""

    key_id: str | None
    algorithm: str


class _StrictJwt(jwt.PyJWT):
    """PyJWT, with claims that are unique and times that are numbers. It accepts "1" as a time."""

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        claims = parse_object(decoded["payload"])
        for name in _TIMES:
            value = claims.get(name, 0)
            if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < _MAX_SECONDS:
                raise token_refused(f"its claim {name!r} is no number")
        return claims


# `find` of the cache checks the expiry of each token, so that a token that has expired is verified once.
_JWT: Final = _StrictJwt({"require": ["exp"], "verify_exp": False, "enforce_minimum_key_length": True})


def header_of(text: str, rules: JwtRules) -> TokenHeader:
    """Return the header of a token that has the right form and an allowed algorithm.

    Raises:
        UnauthenticatedError: the text is too long or no JWT, or its header is not allowed.
    """
    if len(text) > MAX_TOKEN_CHARACTERS:
        raise token_refused(f"it has more than {MAX_TOKEN_CHARACTERS:,} characters")
    form = _FORM.fullmatch(text)
    if form is None:
        raise token_refused("it is no valid JSON Web Token")
    try:
        header = parse_object(base64url_decode(form[1]))
    except ValueError:
        raise token_refused("it is no valid JSON Web Token") from None
    if refused := _REFUSED_HEADERS & header.keys():
        raise token_refused(f"its header has {min(refused)!r}")
    key_id, algorithm = header.get("kid"), header.get("alg")
    if algorithm not in rules.algorithms:
        raise token_refused("its algorithm is not allowed")
    if not isinstance(key_id, str | None):
        raise token_refused("the id of its key is no text")
    return TokenHeader(key_id, algorithm)


def verify(text: str, header: TokenHeader, keys: Jwks, rules: JwtRules) -> Identity | None:
    """Return the identity of a token's holder; ``None``: the keys have none for this token.

    The identity may have expired.

    Raises:
        UnauthenticatedError: the token breaks a rule, or its signature is not the key's.
    """
    key = keys.find(header.key_id, header.algorithm)
    if key is None:
        return None
    try:
        claims = _JWT.decode(
            text,
            key.key,
            algorithms=[header.algorithm],
            audience=rules.audience,
            issuer=rules.issuer,
            leeway=rules.leeway_seconds,
        )
    except jwt.MissingRequiredClaimError as error:
        raise token_refused(f"it has no claim {error.claim!r}") from None
    except jwt.InvalidIssuerError:
        raise token_refused("it is of another issuer") from None
    except jwt.InvalidAudienceError:
        raise token_refused("it is for another audience") from None
    except jwt.ImmatureSignatureError:
        raise token_refused("it is not yet valid") from None
    except jwt.InvalidSignatureError:
        raise token_refused("its signature is not valid") from None
    except (jwt.PyJWTError, ValueError, TypeError):
        raise token_refused("it is no valid JSON Web Token") from None
    return _identity_of(claims, text, rules)


def id_of(text: str, claims: dict[str, Any] | None = None) -> str:
    """Return the id of a token in logs: its ``jti`` if this is verified and a valid id, else a digest.

    The digest is of the signed part, because the signature of a token can be changed without the issuer's key
    (ECDSA). It is empty for a text of another form, which may be a password.
    """
    token_id = (claims or {}).get("jti")
    if isinstance(token_id, str) and _PRINTABLE.fullmatch(token_id):
        return token_id
    if len(text) > MAX_TOKEN_CHARACTERS or not _FORM.fullmatch(text):
        return ""
    return f"sha256:{hashlib.sha256(text.rpartition('.')[0].encode()).hexdigest()}"


def _identity_of(claims: dict[str, Any], text: str, rules: JwtRules) -> Identity:
    names = rules.claims
    tenant_id = DEFAULT_TENANT if names.tenant is None else _name(claims, names.tenant)
    is_service = names.user is None or (names.is_user_optional and names.user not in claims)
    return Identity(
        tenant_id,
        _scopes(claims, names.scopes),
        None if is_service else _name(claims, names.user or ""),
        None if names.application is None else _name(claims, names.application),
        is_service,
        id_of(text, claims),
        claims["exp"] + rules.leeway_seconds,
    )


def _name(claims: dict[str, Any], name: str) -> str:
    """Return a claim that is the id of a tenant, a user or an application, which Postgres can keep."""
    value = _claim(claims, name)
    fits = isinstance(value, str) and 1 <= len(value) <= MAX_USER_ID_CHARACTERS and _is_storable(value)
    if not fits:
        raise token_refused(f"its claim {name!r} is no text of 1 to {MAX_USER_ID_CHARACTERS} characters")
    return str(value)


def _is_storable(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def _scopes(claims: dict[str, Any], name: str) -> frozenset[str]:
    """Return the scopes of a claim. Words of other services are ignored."""
    value = _claim(claims, name)
    words = value.split(" ") if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise token_refused(f"its claim {name!r} is neither a text nor a list of texts")
    return ALL_SCOPES.intersection(words)


def _claim(claims: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON
    if name not in claims:
        raise token_refused(f"it has no claim {name!r}")
    return claims[name]
