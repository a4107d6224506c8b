"""Verify JSON Web Tokens, and remember those that were verified."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from sessionhistory_server.credentials import jwt_verification
from sessionhistory_server.credentials.errors import credentials_expired, token_refused
from sessionhistory_server.credentials.jwks_keeper import JwksKeeper

if TYPE_CHECKING:
    from sessionhistory_server.credentials.identity import Identity
    from sessionhistory_server.credentials.jwks import Jwks
    from sessionhistory_server.credentials.jwks_source import JwksSource
    from sessionhistory_server.credentials.jwt_rules import JwtRules
    from sessionhistory_server.errors import UnauthenticatedError
    from sessionhistory_server.usecases.following import Following
    from sessionhistory_server.usecases.refused_tokens import TokenRefusals

MAX_REMEMBERED: Final = 10_000
"""The maximum number of tokens that a worker remembers."""

_LOOK_SECONDS: Final = 2.0


class TokenVerifier:
    """A verifier of tokens. It remembers the identities of verified ones by digests of their texts.

    Args:
        rules: The rules that a token must follow.
        source: The keys of the issuer.
        refusals: The refused tokens.
        following: Refreshes the refused tokens.
    """

    def __init__(
        self, rules: JwtRules, source: JwksSource, refusals: TokenRefusals, following: Following
    ) -> None:
        self._rules = rules
        self._refusals = refusals
        self._following = following
        self._keeper = JwksKeeper(source, rules.algorithms)
        self._identities: OrderedDict[bytes, Identity] = OrderedDict()
        self._keys: Jwks | None = None
        """The keys that verified the remembered tokens."""

    def find(self, text: str) -> Identity | None:
        """Return the identity of a token's holder; ``None``: its key or the refused tokens are not known.

        Raises:
            UnauthenticatedError: the token is not valid, has expired, or is refused by its id.
        """
        keys = self._keeper.keys
        if keys is not self._keys:
            self._identities.clear()
            self._keys = keys
        digest = _digest(text)
        identity = self._identities.get(digest)
        if identity is None:
            header = jwt_verification.header_of(text, self._rules)
            if keys is None:
                return None
            identity = jwt_verification.verify(text, header, keys, self._rules)
            if identity is None:
                return None
            self._remember(digest, identity)
        else:
            self._identities.move_to_end(digest)
        if identity.expire_time <= time.time():
            raise credentials_expired()
        if self._refusals.refuses(identity):
            raise token_refused("its id is in the list of refused tokens")
        return identity if self._refusals.are_read else None

    def may_exist(self, _: str) -> bool:
        """Return whether the token's key may have been published just now; ``find`` refuses other tokens."""
        return True

    def refusal(self, _: str) -> UnauthenticatedError:
        """Return the error for a token whose key is not known."""
        return token_refused("its key is not known")

    async def refresh_soon(self) -> None:
        """Read the refused tokens if they were never read, and the keys for a token with an unknown one.

        Raises:
            UnavailableError: they cannot be read.
            ResourceExhaustedError: too many calls wait for them.
        """
        if not self._refusals.are_read:
            await self._following.refresh_soon()
        await self._keeper.refresh_for_unknown()

    def id_of(self, text: str) -> str:
        """Return the id of a token for the trail; empty if the text has not the form of a token."""
        identity = self._identities.get(_digest(text))
        return (identity and identity.credential_id) or jwt_verification.id_of(text)

    async def run(self) -> None:
        """Read the keys whenever that is due, until cancelled."""
        try:
            while True:
                await self._keeper.refresh_if_due()
                await asyncio.sleep(_LOOK_SECONDS)  # no event reports a change of the keys
        finally:
            await self._keeper.close()

    def _remember(self, digest: bytes, identity: Identity) -> None:
        self._identities[digest] = identity
        if len(self._identities) > MAX_REMEMBERED:
            self._identities.popitem(last=False)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
