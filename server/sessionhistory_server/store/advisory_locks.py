"""Locks of users and of jobs, which have no row to lock. A transaction holds such a lock until it ends."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sessionhistory_server.store.postgres.connection import Connection

_LOCK: Final = "select true from pg_advisory_xact_lock(%(key)s::bigint)"
_TRY: Final = "select pg_try_advisory_xact_lock(%(key)s::bigint)"


async def lock_user(connection: Connection, tenant_id: str, user_id: str) -> None:
    """Lock a user. If another transaction has locked the user, wait until it ends."""
    await connection.fetch(_LOCK, {"key": _number(tenant_id.encode() + b"\0" + user_id.encode())})


async def try_lock_job(connection: Connection, job: str) -> bool:
    """Lock a job; return ``False`` if another transaction, of any server, has locked it."""
    # No tenant has an empty name, so no user has the number of a job.
    ((locked,),) = await connection.fetch(_TRY, {"key": _number(b"\0job\0" + job.encode())})
    return bool(locked)


def _number(named: bytes) -> int:
    """Return the number that Postgres locks in place of a name: 64 bits of a SHA-256, signed."""
    return int.from_bytes(hashlib.sha256(named).digest()[:8], signed=True)
