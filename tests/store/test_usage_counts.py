"""The counts of tenants and users equal their sessions, messages and summaries."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_support import append, new_message, use_cases

from sessionhistory_server.background import retention, usage_recount
from sessionhistory_server.background.jobs import JobBusyError, JobDatabase
from sessionhistory_server.errors import SessionHistoryError, database_unavailable
from sessionhistory_server.model.message import SentMessage
from sessionhistory_server.model.session import SessionContent, StateChange
from sessionhistory_server.model.summary import Compact
from sessionhistory_server.store import usage
from sessionhistory_server.store import usage_recount as statements
from sessionhistory_server.store.usage import Owner, Usage
from sessionhistory_server.usecases.forks import NewBranch
from sessionhistory_server.usecases.tenant_limits import HeldLimits
from support.callers import caller
from support.databases import execute
from support.messages import message_content

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from store_support import UseCases

    from sessionhistory_server.store.postgres.database import Database

STORED = """
select tenant_id, coalesce(user_id, ''), count(*), sum(
    (select coalesce(sum(size_bytes), 0) from messages where messages.session_key = sessions.session_key)
    + (select coalesce(sum(size_bytes), 0) from summaries where summaries.session_key = sessions.session_key)
)::bigint
from sessions group by 1, 2
"""
COUNTED = "select tenant_id, user_id, sessions, bytes from user_usage where sessions <> 0 or bytes <> 0"
OF_TENANTS = "select tenant_id, sessions, bytes from tenant_usage where sessions <> 0 or bytes <> 0"
SUMS = "select tenant_id, sum(sessions)::bigint, sum(bytes)::bigint from user_usage group by 1"
CLEAR = ("truncate sessions, messages, summaries, tenant_usage, user_usage, usage_recounts",)

SESSIONS = ("a", "b", "c")
NOW = timedelta()


def assert_counted(url: str) -> None:
    """Check the counts of users, and that those of tenants are their sums."""
    assert sorted(execute(url, COUNTED)) == sorted(execute(url, STORED))
    sums = [row for row in execute(url, SUMS) if any(row[1:])]
    assert sorted(execute(url, OF_TENANTS)) == sorted(sums)


def counting(database: Database) -> UseCases:
    """Return use cases that count."""
    return use_cases(database, limits=HeldLimits(database))


@pytest.fixture
async def database(open_database: Callable[..., Awaitable[Database]], database_url: str) -> Database:
    """A database with some connections."""
    return await open_database(database_url, pool_size=4)


def message(size_bytes: int, message_id: str = "", **content: Any) -> SentMessage:
    """Return a message of a size."""
    fields: dict[str, Any] = {"content": "words"} | content
    return SentMessage(message_content(message_id, **fields), size_bytes)


users = st.sampled_from((None, "ada", "bob"))
names = st.sampled_from(SESSIONS)
sizes = st.integers(100, 900)
keeps = st.integers(0, 4)


@st.composite
def appends(draw: st.DrawFn) -> Callable[[UseCases], Awaitable[object]]:
    """Draw an append: of new messages or a retry, with or without other messages to replace and a state."""
    ids = draw(st.sampled_from((("",), ("m",), ("n",), ("", "m"), ("n", "", "m"))))
    sent = [message(draw(sizes), message_id, pinned=draw(st.booleans())) for message_id in ids]
    asked = append(
        draw(names),
        *sent,
        new_session=draw(st.sampled_from((None, SessionContent()))),
        keep_through_sequence=draw(st.one_of(st.none(), keeps)),
        state=draw(st.sampled_from((None, StateChange('{"a": 1}', None)))),
    )
    who = caller(draw(users))
    return lambda history: history.messages.append(who, asked)


@st.composite
def streams(draw: st.DrawFn) -> Callable[[UseCases], Awaitable[object]]:
    """Draw a stream that breaks, or one that ends and may replace what a broken one has left."""
    breaks = draw(st.booleans())
    sent = message(draw(sizes), "streamed", status="INTERRUPTED" if breaks else "COMPLETE")
    asked = append(draw(names), sent, new_session=SessionContent())
    who = caller(draw(users))
    if breaks:
        return lambda history: history.streams.keep(who, asked, patient=False)
    return lambda history: history.streams.store(who, asked)


@st.composite
def others(draw: st.DrawFn) -> Callable[[UseCases], Awaitable[object]]:
    """Draw another call that changes stored sessions or messages."""
    who, name, other, keep = caller(draw(users)), draw(names), draw(names), draw(keeps)
    summary = SentMessage(message_content("", "SYSTEM", content="short"), draw(sizes))
    branch = NewBranch(other, draw(users), SessionContent())
    calls: tuple[Callable[[UseCases], Awaitable[object]], ...] = (
        lambda h: h.sessions.create(who, name, SessionContent(), allow_existing=bool(keep % 2)),
        lambda h: h.sessions.ensure_active(caller("ada"), name, SessionContent()),
        lambda h: h.sessions.delete(who, name, purge=False),
        lambda h: h.sessions.undelete(who, name),
        lambda h: h.sessions.delete(who, name, purge=True),
        lambda h: h.messages.truncate(who, name, keep, expected_last_sequence=None),
        lambda h: h.summaries.compact(who, Compact(name, keep + 1, summary)),
        lambda h: h.forks.fork(who, name, branch, through_sequence=keep, allow_existing=True),
        lambda h: h.forks.reset(
            who, name, branch, keep_messages=True, keep_state=True, previous_status="COMPLETED"
        ),
    )
    return draw(st.sampled_from(calls))


@settings(
    derandomize=True,
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(calls=st.lists(st.one_of(appends(), streams(), others()), min_size=5, max_size=25))
async def test_the_counts_follow_each_change(
    database: Database, database_url: str, calls: list[Callable[[UseCases], Awaitable[object]]]
) -> None:
    """Whatever is called, and whether it fails: the counts become those of the tables."""
    execute(database_url, *CLEAR)
    history = counting(database)
    for call in calls:
        with suppress(SessionHistoryError):
            await call(history)
    await history.metering.write()
    assert_counted(database_url)
    await recount(database)
    assert_counted(database_url)


async def test_concurrent_calls_are_counted(database: Database, database_url: str) -> None:
    """Appends that share statements, creations and purges at the same time."""
    history = counting(database)

    async def one(number: int) -> None:
        name = f"s{number % 5}"
        with suppress(SessionHistoryError):
            await history.messages.append(
                caller("ada"), append(name, new_message(), new_session=SessionContent())
            )
            if number % 7 == 0:
                await history.sessions.delete(caller("ada"), name, purge=True)

    await asyncio.gather(*map(one, range(100)))
    await history.metering.write()
    assert_counted(database_url)


async def test_counts_that_could_not_be_written_are_written_later(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the failure was, and also if the writer was cancelled while it wrote."""
    history = counting(database)
    await history.messages.append(caller("ada"), append("s", new_message(), new_session=SessionContent()))
    for error in (database_unavailable(), ZeroDivisionError()):
        with monkeypatch.context() as patch:
            patch.setattr(usage, "add", AsyncMock(side_effect=error))
            with pytest.raises(type(error)):
                await history.metering.write()
    writing = asyncio.create_task(history.metering.write())
    await asyncio.sleep(0)
    writing.cancel()
    await history.messages.append(caller("ada"), append("s"))
    await history.metering.write()
    assert_counted(database_url)


async def test_purges_of_the_sweeper_are_counted(database: Database, database_url: str) -> None:
    """The job notes the sessions that it removes, with their messages."""
    history = counting(database)
    content = SessionContent(expire_time=0)
    for user_id in ("ada", None):
        await history.messages.append(
            caller(user_id), append(f"of {user_id}", *[new_message()] * 3, new_session=content)
        )
    execute(database_url, "update sessions set purge_time = now()")
    await retention.purge_batch(database, [], history.metering.note)
    await history.metering.write()
    assert execute(database_url, STORED) == []
    assert_counted(database_url)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recount reads few rows at a time."""
    monkeypatch.setattr(statements, "PAGE_SESSIONS", 3)
    monkeypatch.setattr(statements, "PAGE_COUNTS", 2)
    monkeypatch.setattr(usage_recount, "SUSPECTS", 4)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recount compares twice without a pause."""
    monkeypatch.setattr(usage_recount, "SETTLE_SECONDS", 0.0)


async def recount(database: Database) -> None:
    """Recount all tenants now."""
    await usage_recount.run_once(JobDatabase(database, "usage recount"), NOW)


async def _store_uncounted(database: Database) -> None:
    """Store sessions of several tenants and users, and without a user, on a server that counts nothing."""
    history = use_cases(database)
    for tenant in ("acme", "globex"):
        for number in range(14):
            user_id = (None, "ada", "bob", "Çelik", "zoe")[number % 5]
            who = caller(user_id)._replace(tenant_id=tenant)
            sent = [new_message(pinned=number % 3 == 0), new_message()]
            await history.messages.append(who, append(f"s{number}", *sent, new_session=SessionContent()))
            if number % 4 == 0:
                summary = SentMessage(message_content("", "SYSTEM", content="short"), 77)
                await history.summaries.compact(who, Compact(f"s{number}", 2, summary))


@pytest.mark.usefixtures("small_pages")
async def test_a_recount_finds_everything(database: Database, database_url: str) -> None:
    """Also sessions that were never counted, users over several pages, and counts without sessions."""
    await _store_uncounted(database)
    wrong = {
        Owner("acme", "ada"): Usage(99, -5),
        Owner("acme", "gone"): Usage(2, 10),
        Owner("acme", "a"): Usage(2, 10),
        Owner("acme", "zz"): Usage(-2, 10),
        Owner("acme", ""): Usage(3, 10),
        Owner("nobody", "x"): Usage(1, 1),
        Owner("nobody", ""): Usage(1, 1),
    } | {Owner("globex", f"gone {number}"): Usage(1, number) for number in range(9)}
    await database.write(lambda c: usage.add(c, wrong))
    await recount(database)
    assert_counted(database_url)
    await recount(database)  # removes the counts that are zero
    assert execute(database_url, "select count(*) from user_usage") == [(10,)]
    assert execute(database_url, "select tenant_id from tenant_usage order by 1") == [("acme",), ("globex",)]


async def test_one_server_at_a_time_recounts(database: Database, database_url: str) -> None:
    """A second one finds the claim; one that has lost its claim corrects nothing more."""
    await _store_uncounted(database)
    await recount(database)
    await database.write(lambda c: usage.add(c, {Owner("acme", "ada"): Usage(1, 1)}))
    await usage_recount.run_once(JobDatabase(database, "usage recount"), timedelta(minutes=10))
    assert sorted(execute(database_url, COUNTED)) != sorted(execute(database_url, STORED))
    first = await database.write(lambda c: statements.claim(c, NOW))
    assert first is not None
    second = await database.write(lambda c: statements.claim(c, NOW))
    assert second is not None
    lost = {Owner("acme", "ada"): Usage(1, 1)}
    assert not await database.write(lambda c: statements.correct(c, first, lost))
    assert await database.write(lambda c: statements.correct(c, second, {}))


def _meanwhile(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Awaitable[None]]) -> None:
    """Let work happen between the two comparisons of a recount."""
    correct = usage_recount._Recount.correct  # noqa: SLF001 - it is called between the two

    async def correct_later(recounting: Any, maximum: int) -> None:
        await work()
        await correct(recounting, maximum)

    monkeypatch.setattr(usage_recount._Recount, "correct", correct_later)  # noqa: SLF001


async def test_a_late_count_is_not_corrected(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a worker has committed and not written yet counts once."""
    history = counting(database)
    sent = append("s", new_message(), new_session=SessionContent())
    await history.messages.append(caller("ada"), sent)
    _meanwhile(monkeypatch, history.metering.write)
    await recount(database)
    assert_counted(database_url)


async def test_a_server_that_looks_does_not_end_a_recount(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction holds the lock of the job for a moment."""
    await _store_uncounted(database)
    write, attempts = JobDatabase.write, 0

    async def busy(job: JobDatabase, work: Any, **options: Any) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts % 2 == 0:
            raise JobBusyError
        return await write(job, work, **options)

    monkeypatch.setattr(JobDatabase, "write", busy)
    monkeypatch.setattr(usage_recount, "_ATTEMPT_SECONDS", 0.0)
    await recount(database)
    assert_counted(database_url)


async def test_changes_during_a_recount_stay(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong count is corrected by the difference, also if the user stores more meanwhile."""
    await _store_uncounted(database)
    history = counting(database)

    async def store() -> None:
        who = caller("ada")._replace(tenant_id="acme")
        await history.messages.append(who, append("s1", message(1)))
        await history.metering.write()

    _meanwhile(monkeypatch, store)
    await recount(database)
    monkeypatch.undo()
    await history.metering.write()
    assert_counted(database_url)


@pytest.mark.parametrize(
    ("before", "after", "moved", "expected"),
    [
        (5, 5, 0, 5),
        (-5, -5, 0, -5),
        (5, 0, 5, 0),  # it was late
        (0, 5, 5, 0),  # it is late
        (5, -5, 0, 0),
        (105, 103, 20, 103),
        (-103, -105, 20, -103),
        (15, 13, 20, 0),  # it may be late, and is compared again in ten minutes
        (0, 0, 0, 0),
    ],
)
def test_only_lasting_differences_are_corrected(before: int, after: int, moved: int, expected: int) -> None:
    """By the smaller one, unless the changes between the two comparisons may explain it."""
    assert usage_recount._lasting(before, after, moved) == expected  # noqa: SLF001
