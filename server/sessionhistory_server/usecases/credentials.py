"""The credentials that a worker accepts, and the small tables that it keeps in memory for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.jwt_settings import jwks_source, jwt_rules
from sessionhistory_server.usecases.certificate_verification import CertificateVerifier
from sessionhistory_server.usecases.following import Following
from sessionhistory_server.usecases.key_verification import KeyVerifier
from sessionhistory_server.usecases.refused_tokens import TokenRefusals

if TYPE_CHECKING:
    from sessionhistory_server.config import Settings
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.usecases.following import Followed
    from sessionhistory_server.usecases.token_verification import TokenVerifier


class AcceptedCredentials:
    """The verifiers of the kinds of credentials that the settings name.

    Args:
        settings: The settings of the service.
        database: The database of the tables.
        others: Other tables to follow.
    """

    def __init__(self, settings: Settings, database: Database, others: list[Followed]) -> None:
        accepted = {*settings.auth}
        self.held_keys = KeyVerifier(database) if accepted & {"keys", "certificates"} else None
        """The keys and registered certificates in memory; ``None``: neither is accepted."""
        refusals = TokenRefusals(database) if "jwt" in accepted else None
        own: list[Followed | None] = [self.held_keys, refusals]
        self._followed = [*filter(None, own), *others]
        self.following = Following(database, self._followed)
        self.keys = self.held_keys if "keys" in accepted else None
        self.certificates = None
        if self.held_keys and "certificates" in accepted:
            self.certificates = CertificateVerifier(self.held_keys)
        self.tokens = _token_verifier(settings, refusals, self.following) if refusals else None

    @property
    def follows(self) -> bool:
        """Whether there is a table to follow."""
        return bool(self._followed)


def _token_verifier(settings: Settings, refusals: TokenRefusals, following: Following) -> TokenVerifier:
    # Imported here, because a server without tokens starts sooner without PyJWT and cryptography.
    from sessionhistory_server.usecases.token_verification import TokenVerifier  # noqa: PLC0415

    return TokenVerifier(jwt_rules(settings), jwks_source(settings), refusals, following)
