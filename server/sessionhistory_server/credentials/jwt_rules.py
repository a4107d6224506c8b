"""The rules for accepting JSON Web Tokens, as the settings say them."""

from __future__ import annotations

from typing import Final, NamedTuple

ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
"""The algorithms that may be set. All need a public key, so that a published key cannot sign."""


class ClaimNames(NamedTuple):
    """The names of the claims that a token's identity is read from."""

    tenant: str | None
    """``None``: all tokens belong to the tenant ``default``."""
    user: str | None
    """``None``: no token is bound to a user."""
    scopes: str
    is_user_optional: bool = False
    """Whether a token without that claim is accepted, as one of a service that acts for any user."""
    application: str | None = None
    """``None``: no token is bound to an application."""


class JwtRules(NamedTuple):
    """The rules that a token must follow."""

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    """Some of ``ALGORITHMS``."""
    leeway_seconds: float
    """By how much the clocks of the issuer and of this server may differ."""
    claims: ClaimNames
