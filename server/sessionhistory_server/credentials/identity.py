"""The identity of a caller: its tenant and its rights, as its credential says them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from sessionhistory_server.model.caller import DEFAULT_TENANT, READ, WRITE

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


class Identity(NamedTuple):
    """The tenant and the rights of the holder of a credential."""

    tenant_id: str
    scopes: AbstractSet[str]
    """Some of ``ALL_SCOPES``."""
    user_id: str | None
    """The user that the credential is bound to; ``None``: the holder may act for any user."""
    application_id: str | None
    """The application that the credential is bound to; ``None``: the holder may use any application."""
    must_name_user: bool
    """Whether each call must name the user that it acts for."""
    credential_id: str | None
    """The id of the credential in logs; ``None``: the caller needs no credential."""
    expire_time: float
    """When the credential expires, in seconds since the Unix epoch; infinite: never."""


def anyone(*, must_name_user: bool) -> Identity:
    """Return the identity of all callers of a server that asks for no credentials.

    They manage no keys, because such a key would stay valid once the server asks for credentials.
    """
    return Identity(DEFAULT_TENANT, frozenset({READ, WRITE}), None, None, must_name_user, None, math.inf)
