"""How values go to Postgres and come back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.dialects import postgresql
from store_support import append, new_message, use_cases

from sessionhistory_server.model import MessageContent, SessionContent, ToolCall, WindowLimits
from sessionhistory_server.store import rows, schema
from sessionhistory_server.store.connecting import connect
from sessionhistory_server.store.keys import session_key
from sessionhistory_server.store.messages import MessageFilter
from sessionhistory_server.store.session_list import SessionFilter
from sessionhistory_server.store.sessions import timestamp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.history import SessionHistory
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.database import Database


def micros(*date: Any) -> int:
    """Return a time as microseconds since the start of 2000."""
    since = datetime(*date, tzinfo=UTC) - datetime(2000, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


FIRST = micros(1, 1, 1)
LAST = micros(9999, 12, 31, 23, 59, 59, 999_999)


LEAP = micros(2024, 2, 29, 12, 30, 15, 123_456)

_TIME = """
select %(time)s::timestamptz,
       to_char(%(time)s::timestamptz at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')
"""


@pytest.mark.parametrize(
    ("sent", "stored", "text"),
    [
        (FIRST, FIRST, "0001-01-01 00:00:00.000000"),
        (LAST, LAST, "9999-12-31 23:59:59.999999"),
        (0, 0, "2000-01-01 00:00:00.000000"),
        (-1, -1, "1999-12-31 23:59:59.999999"),
        (LEAP, LEAP, "2024-02-29 12:30:15.123456"),
        (FIRST - 1, FIRST, "0001-01-01 00:00:00.000000"),
        (LAST + 1, LAST, "9999-12-31 23:59:59.999999"),
    ],
)
async def test_a_time_comes_back_to_the_microsecond(
    postgres_url: str, sent: int, stored: int, text: str
) -> None:
    """A time of the years 1 to 9999 is kept exactly; one outside becomes the nearest of these."""
    connection = await connect(postgres_url)
    try:
        for zone in ("UTC", "Asia/Kolkata", "America/St_Johns"):
            await connection.execute(f"set timezone = '{zone}'")
            row = await (await connection.execute(_TIME, {"time": timestamp(sent)}, binary=True)).fetchone()
            assert row == (stored, text)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("tenant_id", "session_id", "key"),
    [
        ("default", "s", "0c845396216bbbd0e2d5be5e784c189e"),
        ("default", "", "bb9a03f3423c2a644548ee5be69db77f"),
        ("acme", "a:b/c@d-e.f_g", "738c3d9a2095d47aac71834d2c0dde80"),
    ],
)
def test_a_session_key_is_the_same_for_ever(tenant_id: str, session_id: str, key: str) -> None:
    """Stored rows are found by it: it is what `sha256sum` says, cut after 16 bytes."""
    assert session_key(tenant_id, session_id) == key


def test_a_session_key_tells_tenants_apart() -> None:
    """No tenant and session run into one another."""
    assert session_key("a", "bc") != session_key("ab", "c")


CONTENTS = [
    SessionContent(),
    SessionContent(user_id="u", title="", model="m", metadata="{}", state="{}", ttl=2**50),
    SessionContent(user_id="u", labels={"a": "b"}, history_max_messages=1, expire_time=2**60),
    SessionContent(history_max_messages=2**31 - 1, history_token_budget=2**31 - 1, ttl=1_000_000),
]

MESSAGES = [
    MessageContent("1", "USER"),
    MessageContent("2", "USER", content="", payload=b"", send_time_nanos=1, input_tokens=0, pinned=True),
    MessageContent("3", "TOOL", content="x", payload=b"\0", send_time_nanos=2**62, input_tokens=2**31 - 1),
    MessageContent("4", "ASSISTANT", tool_calls=(ToolCall("a", "b", "{}"),), metadata="{}", turn_id="t"),
]

LIMITS = [
    WindowLimits(),
    WindowLimits(max_messages=0, token_budget=0, before_sequence=1, include_pinned=False),
    WindowLimits(max_messages=2**31 - 1, token_budget=2**31 - 1, before_sequence=2**63 - 1),
]


async def call(history: SessionHistory, number: int) -> None:
    """Call use cases with values that differ in all that may differ."""
    content = CONTENTS[number]
    user_id, small_or_big = content.user_id, 10 ** (number * 6)
    session_id, other_id = f"session-{number}", f"other-{number}"
    await history.create_session(session_id, content, allow_existing=False)
    for each in MESSAGES:
        new = new_message(tokens=small_or_big % 2**31)._replace(content=each)
        request = append(session_id, new, user_id=user_id, history=LIMITS[number % 3])
        await history.append(request)
        await history.append(append(other_id, new, create_session=content))
    await history.append(append(session_id, new_message("5"), new_message("6"), expected_last_sequence=4))
    for limits in LIMITS:
        await history.get_history(session_id, user_id, limits)
    await history.get_message(session_id, user_id, message_id=None, sequence=1)
    await history.get_message(session_id, user_id, message_id="1", sequence=None)
    for changes in ({"title": content.title}, {"expire_time": None}, {"expire_time": 2**60}):
        await history.update_session(session_id, None, changes, etag=None)
    listed = MessageFilter(after_sequence=small_or_big, roles=("USER", "TOOL")[: number + 1])
    await history.list_messages(session_id, user_id, listed, page_size=number + 1, page_token="")
    sessions = SessionFilter(
        labels={"a": "b" * number}, active_after=small_or_big, title_contains="a" * number
    )
    await history.list_sessions(sessions, page_size=10 ** (number % 4), page_token="")
    await history.delete_session(session_id, user_id, purge=False)
    await history.undelete_session(session_id, user_id)


async def test_a_statement_is_prepared_once_whatever_is_sent(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """Nulls, sizes of numbers and lengths of lists do not make new statements of one."""
    database = await open_database(database_url)
    history = use_cases(database)
    prepared = []
    for number in range(len(CONTENTS)):
        await call(history, number)
        prepared.append(await database.read(_prepared))
    assert prepared[0]
    assert prepared == prepared[:1] * len(prepared)


async def _prepared(connection: Connection) -> list[str]:
    query = "select statement from pg_prepared_statements order by statement"
    return [text for (text,) in await (await connection.execute(query, prepare=False)).fetchall()]


def test_records_have_the_types_of_their_columns() -> None:
    """What is sent as JSON is read as what the schema has; bytes come as text."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call] # SQLAlchemy leaves it untyped
    types = dict(column.split(" ") for column in rows.SENT_RECORD.split(", "))
    del types["ordinal"]
    columns = {name: schema.messages.c[name].type.compile(dialect).lower() for name in types}
    assert types == columns | {"payload": "text"}
