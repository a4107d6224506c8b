"""The caller of a call: a program that may act for a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

DEFAULT_TENANT: Final = "default"
"""The tenant of a caller without credentials."""

READ: Final = "read"
WRITE: Final = "write"
ADMIN: Final = "admin"
ALL_SCOPES: Final = frozenset({READ, WRITE, ADMIN})


class Caller(NamedTuple):
    """The caller of one call, with its rights.

    ``rpc.receive`` makes it once for each call. Every use case takes it first.
    """

    tenant_id: str
    """The tenant to whose sessions the caller has access."""
    application_id: str | None
    """The application to whose sessions the caller has access; ``None``: access to those of all."""
    user_id: str | None
    """The user to whose sessions the caller has access; ``None``: access to the sessions of all users."""
    scopes: AbstractSet[str]
    """The caller's rights: some of ``ALL_SCOPES``."""
    log_id: str
    """The id of the call in the log."""
    must_name_user: bool
    """Whether the server refuses a call that names no user."""
    credential_id: str | None = None
    """The id of the caller's credential, for logs; ``None``: the server asks for none."""
