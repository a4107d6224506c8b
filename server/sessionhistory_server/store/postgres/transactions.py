"""Begin a transaction, or join the one that the caller has begun."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from psycopg.pq import TransactionStatus

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from sessionhistory_server.store.postgres.connection import Connection


def joined_transaction(connection: Connection) -> AbstractAsyncContextManager[object]:
    """Return a transaction of the connection, or nothing to begin if it is in one: a savepoint costs more."""
    is_idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
    return connection.transaction() if is_idle else nullcontext()
