"""Locks of users and of jobs, which have no row to lock. A transaction holds such a lock until it ends.

If Citus has distributed the sessions, servers may be connected to several nodes, of which each has locks of
its own. So the hash of a name counts as the key of a session. The node with the shard of this key has the
lock.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, LiteralString

from sessionhistory_server.errors import transaction_conflict
from sessionhistory_server.store.postgres import citus

if TYPE_CHECKING:
    from sessionhistory_server.store.postgres.connection import Connection

# count: a row, whether or not there is a session with the key.
_ON_NODE: Final = """
from (select count(*) from sessions where session_key = %(session_key)s::uuid) as place
"""
_LOCK: Final = "select pg_advisory_xact_lock(%(key)s::bigint)"
_TRY: Final = "select pg_try_advisory_xact_lock(%(key)s::bigint)"
_LOCK_ON_NODE: Final = f"{_LOCK} {_ON_NODE}"
_TRY_ON_NODE: Final = f"{_TRY} {_ON_NODE}"


async def lock_user(connection: Connection, tenant_id: str, user_id: str) -> None:
    """Lock a user. If another transaction has locked the user, wait until it ends."""
    await _fetch(connection, _LOCK, _LOCK_ON_NODE, _digest(tenant_id, user_id))


async def lock_creation(connection: Connection, tenant_id: str, user_id: str, session_key: str) -> None:
    """Lock the creation of a session for a locked user of a distributed database, and wait for earlier ones.

    The node of the user's lock may release it before another node has committed the session of that
    transaction. So the node of the session has a second lock, which ends with that commit.

    Raises:
        UnavailableError: an earlier creation has not ended in time.
    """
    key = _number(_digest(tenant_id, user_id)[8:])
    if not await citus.run_on_nodes(connection, f"select pg_advisory_xact_lock_shared({key})"):
        raise transaction_conflict()
    await connection.fetch(_LOCK_ON_NODE, {"key": key, "session_key": session_key})


async def try_lock_job(connection: Connection, job: str) -> bool:
    """Lock a job; return ``False`` if another transaction, of any server, has locked it."""
    # No tenant has an empty name, so no user has the hash of a job.
    ((locked,),) = await _fetch(connection, _TRY, _TRY_ON_NODE, _digest("", "job", job))
    return bool(locked)


async def _fetch(
    connection: Connection, here: LiteralString, on_node: LiteralString, digest: bytes
) -> list[tuple[Any, ...]]:
    """Run a statement with the number that Postgres locks in place of a name."""
    parameters = {"key": _number(digest), "session_key": digest[:16].hex()}
    return await connection.fetch(on_node if connection.is_distributed else here, parameters)


def _digest(*names: str) -> bytes:
    return hashlib.sha256("\0".join(names).encode()).digest()


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], signed=True)
