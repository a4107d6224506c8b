"""The interface that verifies credentials of one kind, and a credential as a call presents it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from sessionhistory_server.credentials.identity import Identity
    from sessionhistory_server.errors import UnauthenticatedError


class Verifier(Protocol):
    """A verifier of the credentials of one kind, in memory."""

    def find(self, text: str) -> Identity | None:
        """Return the identity of a credential's holder; ``None``: the credential is not known.

        Raises:
            UnauthenticatedError: the credential is known, and cannot be accepted; for example it has expired.
        """

    def may_exist(self, text: str) -> bool:
        """Return whether a refresh could make a credential known."""

    async def refresh_soon(self) -> None:
        """Look for a credential that may exist.

        Raises:
            UnavailableError: the credentials cannot be read.
            ResourceExhaustedError: too many calls wait.
        """

    def refusal(self, text: str) -> UnauthenticatedError:
        """Return the error for a credential that is not known."""

    def id_of(self, text: str) -> str:
        """Return the id of a credential for the trail; empty if it has none."""


class Presented(NamedTuple):
    """A credential as a call presents it."""

    verifier: Verifier
    text: str
    """The credential itself, which no log may contain: the text of the metadata, or a certificate in PEM."""
