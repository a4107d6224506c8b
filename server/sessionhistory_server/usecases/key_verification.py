"""Verify API keys in memory."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from sessionhistory_server.credentials import api_keys as key_text
from sessionhistory_server.credentials.certificate_ring import CertificateRing
from sessionhistory_server.credentials.errors import credentials_expired, credentials_invalid
from sessionhistory_server.credentials.identity import Identity
from sessionhistory_server.credentials.key_ring import NO_HASH, HeldKey, KeyRing
from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.store import api_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessionhistory_server.errors import UnauthenticatedError
    from sessionhistory_server.store.api_keys import ChangedKey
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.usecases.following import Following

USES_SECONDS: Final = 60.0
"""How often the last uses of keys are stored."""

_USES_AT_ONCE: Final = 1_000


class KeyVerifier:
    """A verifier of API keys. It holds all keys in memory, so a call with a known key reads nothing.

    A key with the name of a certificate is in a ring of its own, where no secret finds it.

    Args:
        database: The database of the keys.
        following: Refreshes them.
    """

    def __init__(self, database: Database, following: Following) -> None:
        self._database = database
        self._following = following
        following.follow(self)
        self._ring = KeyRing()
        self._certificates = CertificateRing()
        self._uses: dict[str, float] = {}
        """By the ids of keys: the time of the last use since they were stored."""
        self._stored_at = time.monotonic()

    def find(self, text: str) -> Identity | None:
        """Return the identity of a key's holder; ``None``: the key is not known.

        An unknown key, a wrong secret and a revoked key are treated alike.

        Raises:
            UnauthenticatedError: the key has expired.
        """
        parsed = key_text.parse(text)
        if parsed is None:
            return None
        now = time.time()
        identity = self._ring.find(parsed, now)
        if identity is not None:
            if identity.expire_time <= now:
                raise credentials_expired()
            self.note_use(identity, now)
        return identity

    def may_exist(self, text: str) -> bool:
        """Return whether the text has the form of a key, and is not mistyped."""
        return key_text.parse(text) is not None and key_text.is_intact(text)

    def refusal(self, _: str) -> UnauthenticatedError:
        """Return the error for a key that is not known."""
        return credentials_invalid()

    def id_of(self, text: str) -> str:
        """Return the id of a key, which is no secret; empty if the text has not the form of a key."""
        return key_text.id_of(text)

    def registered(self, names: Iterable[str]) -> list[Identity]:
        """Return the identities that are registered for names of a certificate. They may have expired."""
        return self._certificates.find(names)

    def note_use(self, identity: Identity, now: float) -> None:
        """Note that a call has used the key of an identity, at a time in seconds since the Unix epoch."""
        self._uses[identity.credential_id or ""] = now

    async def refresh_soon(self) -> None:
        """Look for a key that may have been created just now.

        Raises:
            UnavailableError: the keys cannot be read.
            ResourceExhaustedError: too many calls wait.
        """
        await self._following.refresh_soon()

    async def read_all(self) -> None:
        """Replace all keys in memory."""
        rings = KeyRing(), CertificateRing()
        await self._read_into(*rings, after=0)
        self._ring, self._certificates = rings

    async def read_changes(self, after: int) -> None:
        """Apply the changes after a generation."""
        await self._read_into(self._ring, self._certificates, after)

    async def _read_into(self, ring: KeyRing, certificates: CertificateRing, after: int) -> None:
        while changes := await self._database.read(partial(api_keys.changed, after=after)):
            for each in changes:
                if each.certificate_name is None:
                    _change_key(ring, each)
                else:
                    _change_certificate(certificates, each.certificate_name, each)
            after = changes[-1].generation

    async def store_due_uses(self) -> None:
        """Store the last uses of keys if that was not done in the last minute.

        Raises:
            SessionHistoryError: the database cannot be written.
        """
        if time.monotonic() - self._stored_at >= USES_SECONDS:
            self._stored_at = time.monotonic()
            await self.store_uses()

    async def store_uses(self) -> None:
        """Store the last uses of keys.

        Raises:
            SessionHistoryError: the database cannot be written. The uses are kept for the next time.
        """
        uses, self._uses = sorted(self._uses.items()), {}
        while uses:
            some = dict(uses[:_USES_AT_ONCE])
            try:
                await self._database.write(partial(api_keys.note_uses, uses=some))
            except SessionHistoryError:
                self._uses = dict(uses) | self._uses
                raise
            uses = uses[_USES_AT_ONCE:]


def _change_key(ring: KeyRing, changed: ChangedKey) -> None:
    if changed.is_revoked:
        ring.remove(changed.api_key_id)
        return
    previous_hash = changed.previous_secret_hash or NO_HASH
    previous_end = changed.previous_secret_expire_time or 0.0
    secret_hash = changed.secret_hash or NO_HASH
    held = HeldKey(_identity_of(changed), secret_hash, previous_hash, previous_end)
    ring.put(changed.api_key_id, held)


def _change_certificate(certificates: CertificateRing, name: str, changed: ChangedKey) -> None:
    if changed.is_revoked:
        certificates.remove(name, changed.api_key_id)
    else:
        certificates.put(name, _identity_of(changed))


def _identity_of(key: ChangedKey) -> Identity:
    return Identity(
        key.tenant_id,
        frozenset(key.scopes),
        key.user_id,
        key.application_id,
        key.require_user_id,
        key.api_key_id,
        math.inf if key.expire_time is None else key.expire_time,
    )
