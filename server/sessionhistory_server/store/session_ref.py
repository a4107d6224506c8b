"""The session that a caller names: its key, and the conditions that a statement sets for it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from typing import Self

    from sessionhistory_server.model.caller import Caller

LIVE: Final = "delete_time is null and (expire_time is null or expire_time > now())"
"""The session is neither deleted nor expired."""

# coalesce: no other condition equals the expression of the index, so the planner uses the index only for the
# intended statements.
OPEN: Final = "coalesce(status = 'ACTIVE' and delete_time is null, false)"
"""The session is ACTIVE and not deleted."""

OWNED: Final = (
    "((%(user_id)s::text is null or user_id = %(user_id)s::text)"
    " and (%(bound_application_id)s::text is null or application_id = %(bound_application_id)s::text))"
)
"""The session is of the caller's user, if it names one, and of the application it is bound to, if any."""

HELD_UNTIL: Final = f"case when {OWNED} and not ({LIVE}) then purge_time end"
"""The purge time of a deleted or expired session, which holds its id until then; only its owner sees it."""

NAMED: Final = f"session_key = %(session_key)s::uuid and {OWNED}"
"""The session has the key, and is the caller's."""


@lru_cache(maxsize=16_384)
def session_key(tenant_id: str, session_id: str) -> str:
    """Return the key of a session, as the text of a uuid: 16 bytes of SHA-256 over tenant and id.

    Rows of another tenant cannot be addressed, and every key has 16 bytes however long the id.
    """
    digest = hashlib.sha256(tenant_id.encode() + b"\0" + session_id.encode())
    return digest.hexdigest()[:32]


class SessionRef(NamedTuple):
    """A session that a caller names. With a ``user_id``, it must be that user's.

    With a ``bound_application_id``, it must be of that application.
    """

    session_key: str
    session_id: str
    user_id: str | None
    bound_application_id: str | None

    @classmethod
    def of(cls, caller: Caller, session_id: str) -> Self:
        """Return the session that has an id in the caller's tenant."""
        key = session_key(caller.tenant_id, session_id)
        return cls(key, session_id, caller.user_id, caller.application_id)
