"""All registered names of client certificates, in the memory of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessionhistory_server.credentials.identity import Identity


class CertificateRing:
    """The identities of the holders of certificates, by the names of the certificates."""

    def __init__(self) -> None:
        self._identities: dict[str, Identity] = {}

    def find(self, names: Iterable[str]) -> list[Identity]:
        """Return the identities that are registered for some names, some of which may have expired."""
        return [self._identities[name] for name in names if name in self._identities]

    def put(self, name: str, identity: Identity) -> None:
        """Register a name, or replace its registration."""
        self._identities[name] = identity

    def remove(self, name: str, key_id: str) -> None:
        """Remove the registration with this id, unless another one has replaced it."""
        found = self._identities.get(name)
        if found is not None and found.credential_id == key_id:
            del self._identities[name]
