"""What the tests of the store share: the use cases without a server, and a database full of rows.

Of 20,000 sessions one user has 5,000 and 199 have the others. ``LONG`` has 50,000 messages, of which
every 1,000th is pinned; it and 300 others, of 100 messages, are the heavy user's.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg

from sessionhistory_server.compaction import Compactor, CompactRequest
from sessionhistory_server.edits import Edits
from sessionhistory_server.history import AppendRequest, SessionHistory
from sessionhistory_server.model import CHARACTERS, MessageContent, NewMessage
from sessionhistory_server.store.window import Defaults
from sessionhistory_server.tokens import TokenCounters
from support.databases import execute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_server.model import Summary
    from sessionhistory_server.store.database import Database

SESSIONS = 20_000
HEAVY_USER = "user-0"
HEAVY_USER_SESSIONS = 5_000
LONG = "session-1"
LONG_MESSAGES = 50_000
PINNED_EVERY = 1_000
MESSAGE_TOKENS = 10
MESSAGE_BYTES = 300

_SESSIONS = f"""
insert into sessions (session_key, tenant_id, session_id, user_id, title, model, status, labels,
    message_count, total_tokens, last_sequence, unpinned_tokens, unpinned_bytes, pinned_count, revision,
    create_time, update_time, active_time, delete_time, purge_time)
select encode(substring(sha256('default\\000session-'::bytea || n::text::bytea) for 16), 'hex')::uuid,
       'default', 'session-' || n,
       case when n <= {HEAVY_USER_SESSIONS} then '{HEAVY_USER}' else 'user-' || 1 + n % 199 end,
       'about ' || n, 'a-model', 'ACTIVE', jsonb_build_object('colour', (n % 10)::text),
       count, count * {MESSAGE_TOKENS}, count, (count - pins) * {MESSAGE_TOKENS},
       (count - pins) * {MESSAGE_BYTES}, pins, 1,
       now() - n * interval '1 minute', now(), now() - (n * 7 % {SESSIONS}) * interval '1 minute',
       case when n % 50 = 0 then now() end, case when n % 50 = 0 then now() + interval '1 day' end
from generate_series(1, {SESSIONS}) as n cross join lateral (
    select case when n = 1 then {LONG_MESSAGES} when n <= 301 then 100 else 2 end as count,
           case when n = 1 then {LONG_MESSAGES // PINNED_EVERY} else 0 end as pins
) as counts
"""

_MESSAGES = f"""
insert into messages (session_key, sequence, message_id, role, content, pinned, status, token_count,
    create_time, size_bytes, tokens_through, bytes_through)
select session_key, n, 'message-' || n, case when n % 2 = 0 then 'ASSISTANT' else 'USER' end,
       'some words of message ' || n, n % {PINNED_EVERY} = 0, 'COMPLETE', {MESSAGE_TOKENS},
       create_time + n * interval '1 second', {MESSAGE_BYTES},
       (n - n / {PINNED_EVERY}) * {MESSAGE_TOKENS}, (n - n / {PINNED_EVERY}) * {MESSAGE_BYTES}
from sessions cross join lateral generate_series(1, last_sequence) as n
"""


def fill(url: str) -> None:
    """Insert the rows and let the planner know."""
    execute(url, _SESSIONS, _MESSAGES, "vacuum analyze sessions", "vacuum analyze messages")


def use_cases(
    database: Database,
    *,
    coalesce: bool = True,
    counters: TokenCounters | None = None,
    **defaults: Any,
) -> SessionHistory:
    """Return the use cases on a database, with the server's own defaults."""
    limits: dict[str, Any] = {"max_messages": 20, "token_budget": None, "model_token_budgets": None}
    return SessionHistory(
        database,
        Defaults(**limits | defaults),
        counters or TokenCounters(CHARACTERS),
        delete_retention=timedelta(days=30),
        coalesce=coalesce,
    )


def edits_on(database: Database) -> Edits:
    """Return the use cases of whole histories on a database."""
    return Edits(database, token_counter=CHARACTERS, delete_retention=timedelta(days=30))


def new_message(message_id: str = "", *, tokens: int = MESSAGE_TOKENS, **content: Any) -> NewMessage:
    """Return a message to append: a user's, unless told otherwise."""
    fields = {"role": "USER", "content": "some words"} | content
    return NewMessage(MessageContent(message_id, **fields), tokens, MESSAGE_BYTES)


def append(session_id: str, *messages: NewMessage, **request: Any) -> AppendRequest:
    """Return a request to append messages, or one message if none is given."""
    fields = {"user_id": None, "messages": messages or (new_message(),)} | request
    return AppendRequest(session_id=session_id, **fields)


async def compact(database: Database, session_id: str, through: int, *, tokens: int = 5) -> Summary:
    """Store a summary of a session."""
    content = MessageContent("", "SYSTEM", "in short", token_count_given=tokens)
    request = CompactRequest(
        session_id=session_id,
        user_id=None,
        through_sequence=through,
        message=NewMessage(content, tokens, MESSAGE_BYTES),
        expected_last_sequence=None,
        expected_compacted_through_sequence=None,
    )
    return await Compactor(database, TokenCounters(CHARACTERS)).compact(request)


@contextmanager
def locked(url: str, statement: LiteralString) -> Iterator[None]:
    """Hold what a statement locks until the end of the block."""
    with psycopg.connect(url) as connection:
        connection.execute(statement)
        yield


def sleeping(url: str) -> int:
    """Return how many statements sleep in the database."""
    query = "select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
    with psycopg.connect(url) as connection:
        return connection.execute(query).rowcount


def waiting(url: str) -> int:
    """Return how many wait for a lock in the database."""
    query = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    with psycopg.connect(url) as connection:
        return connection.execute(query).rowcount
