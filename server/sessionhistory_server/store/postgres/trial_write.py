"""Test whether the database accepts writes. With a full disk, reads still succeed."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import psycopg

from sessionhistory_server.store.postgres import errors
from sessionhistory_server.store.postgres.failure_reason import failure_reason
from sessionhistory_server.store.postgres.refused_writes import advice

if TYPE_CHECKING:
    from sessionhistory_server.store.postgres.connection import Connection

_CONTENT_BYTES: Final = 65_536

# The limits are shorter than that of a probe. A lock of the table by a migration says nothing about writes.
_LIMITS: Final = """
select set_config('lock_timeout', '500ms', true), set_config('statement_timeout', '2s', true)
"""

_INSERT: Final = """
insert into messages (session_key, sequence, message_id, role, content, pinned, status, token_count,
    create_time, size_bytes, tokens_through, bytes_through)
values (%(session_key)s::uuid, 1, 'trial', 'USER', %(content)s::text, false, 'COMPLETE', 0, now(), 0, 0, 0)
"""


async def write_failure(connection: Connection) -> str:
    """Insert a message that extends a file, and roll back; return the reason of a failure, or an empty text.

    Raises:
        psycopg.Error: the connection is broken.
    """
    parameters = {
        "session_key": secrets.token_hex(16),
        "content": secrets.token_hex(_CONTENT_BYTES // 2),
    }
    try:
        async with connection.transaction(force_rollback=True):
            await connection.fetch(_LIMITS, {})
            await connection.fetch(_INSERT, parameters)
    except psycopg.Error as error:
        if errors.is_refused_write(error):
            return f"{failure_reason(error)}: {advice(str(error.sqlstate))}"
        if connection.closed:
            raise
    return ""
