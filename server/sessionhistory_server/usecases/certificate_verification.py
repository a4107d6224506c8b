"""Verify the certificates of clients, whose signatures and beginnings TLS has verified."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sessionhistory_server.credentials.certificates import CertificateReader
from sessionhistory_server.credentials.errors import (
    certificate_ambiguous,
    certificate_expired,
    certificate_unknown,
    credentials_expired,
)

if TYPE_CHECKING:
    from sessionhistory_server.credentials.identity import Identity
    from sessionhistory_server.errors import UnauthenticatedError
    from sessionhistory_server.usecases.key_verification import KeyVerifier


class CertificateVerifier:
    """A verifier of client certificates, in PEM, by the one name of each that is registered as a key.

    Args:
        keys: The keys in memory.
    """

    def __init__(self, keys: KeyVerifier) -> None:
        self._keys = keys
        self._reader = CertificateReader()

    def find(self, text: str) -> Identity | None:
        """Return the identity of a certificate's holder; ``None``: none of its names is registered.

        TLS has checked only at the handshake that the certificate has not expired.

        Raises:
            UnauthenticatedError: several names are registered, or the certificate or the registration has
                expired.
        """
        certificate = self._reader.read(text)
        found = self._keys.registered(certificate.names)
        if not found:
            return None
        if len(found) > 1:
            raise certificate_ambiguous()
        (identity,), now = found, time.time()
        if certificate.expire_time <= now:
            raise certificate_expired()
        if identity.expire_time <= now:
            raise credentials_expired()
        self._keys.note_use(identity, now)
        return identity

    def may_exist(self, text: str) -> bool:
        """Return whether the certificate has a name that could be registered."""
        return bool(self._reader.read(text).names)

    async def refresh_soon(self) -> None:
        """Look for a certificate that may have been registered just now, as for a key."""
        await self._keys.refresh_soon()

    def refusal(self, text: str) -> UnauthenticatedError:
        """Return the error for a certificate that is not registered."""
        return certificate_unknown(self._reader.read(text).names)

    def id_of(self, text: str) -> str:
        """Return the id of the certificate's registration; empty if it has none, or several."""
        found = self._keys.registered(self._reader.read(text).names)
        return found[0].credential_id or "" if len(found) == 1 else ""
