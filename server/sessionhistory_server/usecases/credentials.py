"""The credentials that a worker accepts, and the small tables that it keeps in memory for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.jwt_settings import jwks_source, jwt_rules
from sessionhistory_server.usecases.certificate_verification import CertificateVerifier
from sessionhistory_server.usecases.key_verification import KeyVerifier
from sessionhistory_server.usecases.refused_tokens import TokenRefusals

if TYPE_CHECKING:
    from sessionhistory_server.config import Settings
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.usecases.following import Following
    from sessionhistory_server.usecases.token_verification import TokenVerifier


class AcceptedCredentials:
    """The verifiers of the kinds of credentials that the settings name.

    Args:
        settings: The settings of the service.
        database: The database of the tables.
        following: Refreshes the tables.
    """

    def __init__(self, settings: Settings, database: Database, following: Following) -> None:
        accepted = {*settings.auth}
        is_held = accepted & {"keys", "certificates"}
        self.held_keys = KeyVerifier(database, following) if is_held else None
        """The keys and registered certificates in memory; ``None``: neither is accepted."""
        self.keys = self.held_keys if "keys" in accepted else None
        self.tokens = _token_verifier(settings, database, following) if "jwt" in accepted else None
        self.certificates = None
        if self.held_keys and "certificates" in accepted:
            self.certificates = CertificateVerifier(self.held_keys)


def _token_verifier(settings: Settings, database: Database, following: Following) -> TokenVerifier:
    # Imported here, because a server without tokens starts sooner without PyJWT and cryptography.
    from sessionhistory_server.usecases.token_verification import TokenVerifier  # noqa: PLC0415

    refusals = TokenRefusals(database)
    following.follow(refusals)
    return TokenVerifier(jwt_rules(settings), jwks_source(settings), refusals, following)
