"""The limits that operators set for stored sessions, messages and bytes.

A fixture or test asks for the database before the service, which writes counts when it stops. On Citus the
database is emptied after that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from rpc_support import append, call, create, race, request, said, stored, update
from stream_support import begin, contents, finish, header, stream, text

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.databases import execute
from support.errors import fails
from support.keys import holder
from support.limits import limit, write_counts
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

pytestmark = pytest.mark.pooled

NEW = spb.SessionFields()
KIB = 1024


@pytest_asyncio.fixture
async def service(database_url: str, serve: Callable[..., Awaitable[Service]]) -> Service:
    """A service that applies limits."""
    return await serve(database_url, limits=True)


def full() -> Any:
    """Expect a call to be refused because of a limit."""
    return fails("RESOURCE_EXHAUSTED", "LIMIT_REACHED")


APPENDS: dict[str, Callable[[Service], Awaitable[Any]]] = {
    "one": lambda s: call(s, "AppendMessage", "s", message=said("more")),
    "several": lambda s: append(s, "s", said("more"), said("and more")),
    "pinned": lambda s: append(s, "s", said("more", pinned=True)),
    "with a window": lambda s: call(s, "AppendMessage", "s", message=said("more"), history={}),
    "with a state": lambda s: append(s, "s", said("more"), state_patch='{"a":1}'),
    "if the last one is known": lambda s: append(s, "s", said("more"), expected_last_sequence=2),
    "may create": lambda s: append(s, "s", said("more"), new_session=NEW),
    "replacing": lambda s: append(s, "s", said("1"), said("2"), keep_through_sequence=1),
    "streamed": lambda s: stream(s, header("s", "more"), text("more"), finish()),
    "to a new session": lambda s: append(s, "new", *map(said, "abc"), new_session=NEW),
    "forked": lambda s: call(s, "ForkSession", "long", new_session_id="copy"),
    "reset": lambda s: call(s, "ResetSession", "long", new_session_id="next", keep_messages=True),
}


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("how", APPENDS)
async def test_a_session_stores_no_more_messages_than_its_limit(
    database_url: str, serve: Callable[..., Awaitable[Service]], how: str, *, coalesce: bool
) -> None:
    """Each way to store messages is refused, and stores nothing, if the session would have too many."""
    service = await serve(database_url, limits=True, coalesce=coalesce)
    await append(service, "s", said("1"), said("2"), new_session=NEW)
    await append(service, "long", said("1"), said("2"), said("3"), new_session=NEW)
    await limit(service, session_messages=2)
    before = await stored(service)
    with full() as failure:
        await APPENDS[how](service)
    assert failure.metadata["limit"] == "session_messages"
    assert failure.metadata["max"] == "2"
    assert failure.retry_seconds == 60
    assert await stored(service) == before
    for missing in ("new", "copy", "next"):
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await stored(service, missing)
    assert (await call(service, "GetSession", "long")).session.status == spb.SESSION_STATUS_ACTIVE


@pytest.mark.parametrize("how", [name for name in APPENDS if name not in ("forked", "reset")])
async def test_one_more_message_is_stored_below_the_limit(service: Service, how: str) -> None:
    """The limit itself is reached by every way."""
    await append(service, "s", said("1"), said("2"), new_session=NEW)
    await limit(service, session_messages=4)
    await APPENDS[how](service)


async def test_a_retry_of_a_stored_message_succeeds_at_the_limit(service: Service) -> None:
    """It stores nothing; also if the tenant has no room for bytes."""
    await limit(service, session_messages=2, tenant_bytes=10 * KIB)
    sent = [said("x" * KIB, message_id=f"m{number}") for number in range(2)]
    first = await append(service, "s", *sent, new_session=NEW)
    await limit(service, tenant_bytes=0)
    again = await append(service, "s", *sent, new_session=NEW)
    assert again.messages == first.messages
    with full():
        await append(service, "s", said(message_id="other"))


async def test_truncation_makes_room_at_once(service: Service) -> None:
    """The limit counts the messages that are stored now."""
    await limit(service, session_messages=2)
    await append(service, "s", said("1"), said("2"), new_session=NEW)
    with full():
        await append(service, "s", said("3"))
    await call(service, "TruncateMessages", "s", keep_through_sequence=1)
    await append(service, "s", said("3"))
    with full() as failure:
        await append(service, "s", said("4"))
    assert failure.metadata == {"limit": "session_messages", "max": "2", "count": "2", "session_id": "s"}


@pytest.mark.parametrize("batched", [False, True])
async def test_concurrent_appends_fill_the_session_exactly(
    database_url: str, serve: Callable[..., Awaitable[Service]], *, batched: bool
) -> None:
    """Of 50 appends on two servers, as many are stored as the limit has room for."""
    services = [await serve(database_url, limits=True) for _ in range(2)]
    await create(services[0])
    for each in services:
        await limit(each, session_messages=17)
    size = 3 if batched else 1
    asked = [
        ("AppendMessages", request("AppendMessages", "s", messages=[said(f"{number}")] * size))
        for number in range(50)
    ]
    outcomes = await race([each.stub for each in services], asked)
    assert outcomes.count("LIMIT_REACHED") == 50 - 17 // size
    assert len(await stored(services[0])) == 17 // size * size


CREATIONS: dict[str, Callable[[Service], Awaitable[Any]]] = {
    "create": lambda s: create(s, "new", "ada"),
    "append": lambda s: append(s, "new", said(), user_id="ada", new_session=NEW),
    "append with a state": lambda s: append(
        s, "new", said(), user_id="ada", new_session=NEW, state_patch='{"a":1}'
    ),
    "stream": lambda s: stream(s, header("new", user_id="ada", new_session=NEW), text("x"), finish()),
    "active": lambda s: call(s, "EnsureActiveSession", "new", "ada"),
    "fork": lambda s: call(s, "ForkSession", "first", "ada", new_session_id="new"),
    "reset": lambda s: call(s, "ResetSession", "first", "ada", new_session_id="new"),
}


@pytest.mark.parametrize("kind", ["tenant", "user"])
@pytest.mark.parametrize("how", CREATIONS)
async def test_no_session_is_created_above_the_limit(service: Service, how: str, kind: str) -> None:
    """Each way to create one is refused. A purge makes room."""
    await create(service, "first", "ada")
    await append(service, "first", said())
    status = spb.SESSION_STATUS_COMPLETED if how == "active" else spb.SESSION_STATUS_ACTIVE
    await update(service, "first", status=status)
    await write_counts(service)
    await limit(service, **{f"{kind}_sessions": 1})
    with full() as failure:
        await CREATIONS[how](service)
    assert failure.metadata == {"limit": f"{kind}_sessions", "max": "1", "count": "1"}
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await stored(service, "new")
    if how != "active":
        await append(service, "first", said(), new_session=NEW)  # which exists
    await limit(service, **{f"{kind}_sessions": 2})
    await CREATIONS[how](service)
    with full():
        await create(service, "third", "ada")
    await call(service, "DeleteSession", "new")
    with full():
        await create(service, "third", "ada")  # a deleted session is stored until it is purged
    await call(service, "DeleteSession", "new", purge=True)
    await create(service, "third", "ada")


BYTES: dict[str, Callable[[Service], Awaitable[Any]]] = {
    "one": lambda s: call(s, "AppendMessage", "s", "ada", message=said("x" * KIB)),
    "several": lambda s: append(s, "s", said("x" * KIB), said(), user_id="ada"),
    "pinned": lambda s: append(s, "s", said("x" * KIB, pinned=True), user_id="ada"),
    "with a state": lambda s: append(s, "s", said("x" * KIB), user_id="ada", state_patch='{"a":1}'),
    "replacing": lambda s: append(s, "s", said("x" * KIB), user_id="ada", keep_through_sequence=0),
    "to a new session": lambda s: append(s, "new", said("x" * KIB), user_id="ada", new_session=NEW),
    "summary": lambda s: call(
        s, "CompactHistory", "s", "ada", through_sequence=1, message={"content": "x" * KIB}
    ),
    "fork": lambda s: call(s, "ForkSession", "s", "ada", new_session_id="new"),
    "reset": lambda s: call(s, "ResetSession", "s", "ada", new_session_id="new", keep_messages=True),
}


@pytest.mark.parametrize("kind", ["tenant", "user"])
@pytest.mark.parametrize("how", BYTES)
async def test_no_bytes_are_stored_above_the_limit(service: Service, how: str, kind: str) -> None:
    """Each way to store bytes is refused, and stores nothing. A truncation makes room."""
    await append(service, "s", said("x" * KIB), user_id="ada", new_session=NEW)
    await append(service, "old", said("x" * 4 * KIB), user_id="ada", new_session=NEW)
    await write_counts(service)
    await limit(service, **{f"{kind}_bytes": 6 * KIB})
    before = await stored(service)
    with full() as failure:
        await BYTES[how](service)
    assert failure.metadata["limit"] == f"{kind}_bytes"
    assert 5 * KIB < int(failure.metadata["count"]) < 6 * KIB
    assert await stored(service) == before
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await stored(service, "new")
    await call(service, "TruncateMessages", "old", keep_through_sequence=0)
    await BYTES[how](service)


async def _has_two_messages(service: Service) -> bool:
    return len(await contents(service)) == 2


async def test_a_stream_that_has_begun_is_stored(service: Service) -> None:
    """The limit is applied when it begins. The text was made by then, and nobody can make it again."""
    await limit(service, tenant_bytes=2 * KIB, tenant_sessions=1)
    whole = await begin(service, header("s", "whole", new_session=NEW), text("x" * KIB))
    broken = await begin(service, header("s", "broken", new_session=NEW), text("y" * KIB))
    await append(service, "other", said("z" * KIB), new_session=NEW)
    for call_ in (whole, broken):
        await call_.write(text("x" * KIB))
    broken.cancel()
    await whole.write(finish())
    await whole.done_writing()
    assert (await whole).message_count
    await until(lambda: _has_two_messages(service))
    with full():
        await stream(service, header("s", "third"), text("x"), finish())


async def test_each_tenant_and_each_user_has_limits_of_its_own(
    database_url: str, serve: Callable[..., Awaitable[Service]]
) -> None:
    """A tenant's own limit replaces that of every tenant; a refusal tells nothing about others."""
    service = await serve(database_url, limits=True, auth=("keys",))
    acme, globex, initech = [await holder(service, tenant=name) for name in ("acme", "globex", "initech")]
    await limit(service, tenant_sessions=1, user_sessions=3)
    await limit(service, "globex", tenant_sessions=5)
    await limit(service, "initech", tenant_sessions=None)
    for number in range(3):
        await create(globex, f"s{number}", "ada")
    with full() as failure:
        await create(globex, "s3", "ada")
    assert failure.metadata == {"limit": "user_sessions", "max": "3", "count": "3"}
    await create(globex, "s3", "bob")
    await create(globex, "s4")  # no user, so no limit of one
    with full() as failure:
        await create(globex, "s5", "bob")
    assert failure.metadata == {"limit": "tenant_sessions", "max": "5", "count": "5"}
    await create(acme, "s0", "ada")
    with full() as failure:
        await create(acme, "s1", "ada")
    assert failure.metadata == {"limit": "tenant_sessions", "max": "1", "count": "1"}
    for number in range(9):
        await create(initech, f"s{number}", f"user{number}")


async def test_a_session_counts_for_its_owner(service: Service) -> None:
    """Also if a caller that names no user appends to it, or forks it."""
    await append(service, "s", said("x" * KIB), user_id="ada", new_session=NEW)
    await append(service, "s", said("x" * KIB))
    await call(service, "ForkSession", "s", new_session_id="copy")
    await write_counts(service)
    await limit(service, user_bytes=4 * KIB)
    with full() as failure:
        await append(service, "s", said(), user_id="ada")
    assert int(failure.metadata["count"]) > 4 * KIB


async def test_another_user_and_a_missing_session_come_first(service: Service) -> None:
    """A caller without room learns nothing about the sessions of others."""
    await create(service, "s", "ada")
    await limit(service, tenant_bytes=0, session_messages=0)
    for session_id in ("s", "missing"):
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await append(service, session_id, said(), user_id="bob")
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await stream(service, header(session_id, user_id="bob"), text("x"), finish())


async def test_other_servers_know_the_counts_after_they_are_written(
    database_url: str, serve: Callable[..., Awaitable[Service]]
) -> None:
    """A server that serves a tenant reads its counts again every second, or before its first call."""
    one, other = [await serve(database_url, limits=True) for _ in range(2)]
    for each in (one, other):
        await limit(each, tenant_sessions=3)
    await create(one, "1")
    await create(other, "2")
    await write_counts(one)
    await write_counts(other)
    await create(one, "3")
    await write_counts(one)
    with full():
        await create(one, "4")
    late = await serve(database_url, limits=True)
    await limit(late, tenant_sessions=3)
    with full() as failure:
        await create(late, "4")
    assert failure.metadata["count"] == "3"


@pytest.mark.parametrize("kind", ["sessions", "bytes"])
async def test_concurrent_calls_of_a_server_exceed_no_limit(service: Service, kind: str) -> None:
    """Calls in flight reserve what they add."""
    await limit(service, tenant_sessions=7) if kind == "sessions" else await limit(
        service, tenant_bytes=7 * 2 * KIB
    )
    calls = [append(service, f"s{number}", said("x" * KIB), new_session=NEW) for number in range(40)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    made = sum(not isinstance(outcome, BaseException) for outcome in outcomes)
    assert made == 7 if kind == "sessions" else 7 <= made < 14


async def test_creations_that_find_a_session_need_no_room(service: Service) -> None:
    """Retries and calls that may find a session succeed at the limit."""
    await create(service, "s", "ada")
    fork = {"new_session_id": "copy", "allow_existing": True}
    await call(service, "ForkSession", "s", "ada", **fork)
    await limit(service, tenant_sessions=2, tenant_bytes=0)
    await write_counts(service)
    found = await call(service, "CreateSession", "s", "ada", allow_existing=True)
    assert not found.created
    assert not (await call(service, "ForkSession", "s", "ada", **fork)).created
    assert not (await call(service, "EnsureActiveSession", "new", "ada")).created
    with full():
        await create(service, "third", "ada")


async def test_without_the_setting_nothing_is_limited_or_counted(
    database_url: str, serve: Callable[..., Awaitable[Service]]
) -> None:
    """A server without --limits neither reads limits nor writes counts."""
    limited = await serve(database_url, limits=True)
    await limit(limited, tenant_sessions=0, session_messages=0, tenant_bytes=0)
    free = await serve(database_url)
    await append(free, "s", said(), new_session=NEW)
    await free.app._use_cases.metering.write()  # noqa: SLF001 - what it would have noted
    listed = await free.stub.ListSessions(pb.ListSessionsRequest())
    assert [session.session_id for session in listed.sessions] == ["s"]
    assert execute(database_url, "select from tenant_usage") == []
