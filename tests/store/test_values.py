"""The conversion of values to Postgres and back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql
from store_support import append, new_message, use_cases

from sessionhistory_server.model.filters import MessageFilter, SessionFilter
from sessionhistory_server.model.message import MessageContent, MessageExtras, Part, Reasoning, ToolCall
from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.model.window import WindowLimits
from sessionhistory_server.store import schema
from sessionhistory_server.store.columns.message import JSON_RECORD
from sessionhistory_server.store.columns.session import COLUMN_NAMES
from sessionhistory_server.store.columns.times import timestamp
from sessionhistory_server.store.postgres.connect import connect
from sessionhistory_server.store.session_ref import session_key
from sessionhistory_server.store.sessions import listing
from support.callers import caller
from support.messages import message_content

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from store_support import UseCases

    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database


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
    """A time of the years 1 to 9999 is kept exactly; any other becomes the nearest of these."""
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
    """A session key never changes, because stored rows are found by it.

    It is the first 16 bytes of `sha256sum`.
    """
    assert session_key(tenant_id, session_id) == key


def test_a_session_key_tells_tenants_apart() -> None:
    """Different tenants and sessions with the same joined text have different keys."""
    assert session_key("a", "bc") != session_key("ab", "c")


CONTENTS = [
    SessionContent(),
    SessionContent(application_id="a", title="", model="m", metadata="{}", state="{}", ttl=2**50),
    SessionContent(labels={"a": "b"}, history_max_messages=1, expire_time=2**60),
    SessionContent(history_max_messages=2**31 - 1, history_token_budget=2**31 - 1, ttl=1_000_000),
]

MESSAGES = [
    message_content("1", "USER"),
    message_content("2", "USER", content="", payload=b"", send_time_nanos=1, input_tokens=0, pinned=True),
    message_content("3", "TOOL", content="x", payload=b"\0", send_time_nanos=2**62, input_tokens=2**31 - 1),
    message_content("4", "ASSISTANT", tool_calls=(ToolCall("a", "b", "{}"),), metadata="{}", turn_id="t"),
    message_content("5", "ASSISTANT", parts=(Part(reasoning=Reasoning("a", "", "b")),), finish_reason="stop"),
]


def with_tokens(content: MessageContent, tokens: int) -> MessageContent:
    """Return a content with the token count that its caller gave."""
    extras = content.extras or MessageExtras()
    return content._replace(extras=extras._replace(token_count_given=tokens))


LIMITS = [
    WindowLimits(),
    WindowLimits(max_messages=0, token_budget=0, before_sequence=1, include_pinned=False),
    WindowLimits(max_messages=2**31 - 1, token_budget=2**31 - 1, before_sequence=2**63 - 1),
]


async def call(history: UseCases, number: int) -> None:
    """Call use cases with values that differ wherever they may."""
    content = CONTENTS[number]
    user_id, small_or_big = (None, "u", "u", None)[number], 10 ** (number * 6)
    session_id, other_id = f"session-{number}", f"other-{number}"
    await history.sessions.create(caller(user_id), session_id, content, allow_existing=False)
    for each in MESSAGES:
        new = new_message()._replace(content=with_tokens(each, small_or_big % 2**31))
        request = append(session_id, new, history=LIMITS[number % 3])
        await history.messages.append(caller(user_id), request)
        await history.messages.append(caller(user_id), append(other_id, new, new_session=content))
    await history.messages.append(
        caller(),
        append(
            session_id, new_message("6", tokens=None), new_message("7", tokens=None), expected_last_sequence=5
        ),
    )
    for limits in LIMITS:
        await history.windows.get(caller(user_id), session_id, limits)
    await history.messages.get(caller(user_id), session_id, message_id=None, sequence=1)
    await history.messages.get(caller(user_id), session_id, message_id="1", sequence=None)
    for changes in ({"title": content.title}, {"expire_time": None}, {"expire_time": 2**60}):
        await history.sessions.update(caller(), session_id, changes, etag=None)
    listed = MessageFilter(after_sequence=small_or_big, roles=("USER", "TOOL")[: number + 1])
    await history.messages.find(caller(user_id), session_id, listed, page_size=number + 1, page_token="")
    listed_sessions = SessionFilter(
        application_id="a" * (number + 1),
        labels={"a": "b" * number},
        last_activity_time_after=small_or_big,
        title_contains="a" * number,
    )
    await history.sessions.find(caller(), listed_sessions, page_size=10 ** (number % 4), page_token="")
    await history.sessions.delete(caller(user_id), session_id, purge=False)
    await history.sessions.undelete(caller(user_id), session_id)


async def test_a_statement_is_prepared_once_whatever_is_sent(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """Nulls, sizes of numbers and lengths of lists do not make a statement be prepared twice."""
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
    """A message that is sent as JSON is read with the schema's types; bytes are sent as text."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call] # SQLAlchemy leaves it untyped
    types = dict(column.split(" ") for column in JSON_RECORD.split(", "))
    del types["ordinal"]
    columns = {name: schema.messages.c[name].type.compile(dialect).lower() for name in types}
    assert types == columns | {"payload": "text"}


def test_the_size_of_a_session_counts_its_texts() -> None:
    """The bound of a session's size counts every text column except those with one of a few words."""
    shown = {name for name in COLUMN_NAMES if isinstance(schema.sessions.c[name].type, Text)}
    counted = re.findall(r"octet_length\((\w+)", listing._SIZE_BYTES)  # noqa: SLF001 - the bound itself
    assert shown == {"status", "history_unanswered_calls", *counted} - {"labels"}
