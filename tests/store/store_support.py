"""Shared by the tests of the store: the use cases without a server, and a database full of rows.

Of 20,000 sessions 5,000 belong to one user and the others to 199 users. Every tenth session is of
``APPLICATION``, the rest of nine other applications. ``LONG`` has 50,000 messages, of which every 1,000th is
pinned. It belongs to the user with 5,000 sessions, of which 300 others have 100 messages.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from sessionhistory_server.app import window_defaults
from sessionhistory_server.config import Settings
from sessionhistory_server.model.append import Append
from sessionhistory_server.model.message import SentMessage
from sessionhistory_server.model.summary import Compact
from sessionhistory_server.model.tokens import CHARACTERS, COUNTED_BY_CHARACTERS
from sessionhistory_server.tokens import TokenCounters
from sessionhistory_server.usecases import registry
from support.callers import caller
from support.databases import execute
from support.messages import message_content

if TYPE_CHECKING:
    from sessionhistory_server.model.summary import Summary
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.usecases.tenant_limits import HeldLimits

SESSIONS = 20_000
HEAVY_USER = "user-0"
HEAVY_USER_SESSIONS = 5_000
APPLICATION = "application-3"
APPLICATIONS = 10
LONG = "session-1"
LONG_MESSAGES = 50_000
PINNED_EVERY = 1_000
MESSAGE_TOKENS = 10
MESSAGE_BYTES = 300

_RETENTION = timedelta(days=30)

_SESSIONS = f"""
insert into sessions (session_key, tenant_id, session_id, user_id, application_id, title, model, status,
    labels, message_count, total_tokens, last_sequence, unpinned_tokens, unpinned_bytes, pinned_count,
    revision, create_time, update_time, active_time, delete_time, purge_time, token_counter)
select encode(substring(sha256('default\\000session-'::bytea || n::text::bytea) for 16), 'hex')::uuid,
       'default', 'session-' || n,
       case when n <= {HEAVY_USER_SESSIONS} then '{HEAVY_USER}' else 'user-' || 1 + n % 199 end,
       'application-' || n % {APPLICATIONS}, 'about ' || n, 'a-model', 'ACTIVE',
       jsonb_build_object('colour', (n % 10)::text),
       count, count * {MESSAGE_TOKENS}, count, (count - pins) * {MESSAGE_TOKENS},
       (count - pins) * {MESSAGE_BYTES}, pins, 1,
       now() - n * interval '1 minute', now(), now() - (n * 7 % {SESSIONS}) * interval '1 minute',
       case when n % 50 = 0 then now() end, case when n % 50 = 0 then now() + interval '1 day' end,
       '{COUNTED_BY_CHARACTERS}'
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
    """Insert the rows, and collect statistics for the planner."""
    execute(url, _SESSIONS, _MESSAGES, "vacuum analyze sessions", "vacuum analyze messages")


def use_cases(
    database: Database,
    *,
    coalesce: bool = True,
    counters: TokenCounters | None = None,
    limits: HeldLimits | None = None,
    **defaults: Any,
) -> registry.UseCases:
    """Return the use cases on a database, with the server's own defaults."""
    return registry.use_cases(
        database,
        counters or TokenCounters(CHARACTERS),
        window_defaults(Settings())._replace(**defaults),
        delete_retention=_RETENTION,
        coalesce=coalesce,
        limits=limits,
    )


def new_message(message_id: str = "", *, tokens: int | None = MESSAGE_TOKENS, **content: Any) -> SentMessage:
    """Return a message to append, a user's by default; ``tokens`` is ``None`` if the server is to count."""
    fields = {"role": "USER", "content": "some words"} | content
    if tokens is not None:
        fields["token_count_given"] = tokens
    return SentMessage(message_content(message_id, **fields), MESSAGE_BYTES)


def append(session_id: str, *messages: SentMessage, **asked: Any) -> Append:
    """Return a request to append messages, or one message if none is given."""
    return Append(session_id, messages or (new_message(),), **asked)


async def compact(database: Database, session_id: str, through: int, *, tokens: int = 5) -> Summary:
    """Store a summary of a session."""
    content = message_content("", "SYSTEM", content="in short", token_count_given=tokens)
    asked = Compact(session_id, through, SentMessage(content, MESSAGE_BYTES))
    return await use_cases(database).summaries.compact(caller(), asked)


def sleeping(url: str) -> int:
    """Return how many statements sleep in the database."""
    query = "select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
    with psycopg.connect(url) as connection:
        return connection.execute(query).rowcount
