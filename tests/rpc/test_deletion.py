"""Deleting, expiring, restoring and purging sessions. SQL moves the times, so no test waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from deletion_support import LIVE_ONLY, end_session, talk
from rpc_support import append, call, create, get, said, stored, update

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.databases import execute
from support.errors import fails

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.duration_pb2 import Duration

    from support.service import Service

DUE = "update sessions set purge_time = now() - interval '1 second'"


async def _listed(service: Service, **fields: Any) -> list[str]:
    return [session.session_id for session in (await call(service, "ListSessions", "", **fields)).sessions]


async def test_a_deletion_returns_the_session_and_its_times(service: Service) -> None:
    """DeleteSession returns the session: deleted now, to be removed for good after the retention."""
    before = await talk(service)
    deleted = (await call(service, "DeleteSession", "s")).session
    assert deleted.delete_time == deleted.update_time
    assert deleted.purge_time.seconds - deleted.delete_time.seconds == 30 * 24 * 3600
    assert deleted.etag != before.etag
    for field in ("delete_time", "purge_time", "update_time", "etag"):
        deleted.ClearField(field)
        before.ClearField(field)
    assert deleted == before


@pytest.mark.parametrize("end", ["deleted", "expired"])
async def test_what_has_ended_is_not_found(service: Service, database_url: str, end: str) -> None:
    """An ended session is NOT_FOUND for all methods but purge and undelete, for every caller."""
    await talk(service, user_id="u")
    await end_session(service, database_url, end)
    for user_id in ("", "u"):
        for method in LIVE_ONLY:
            with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
                await call(service, method, "s", user_id)
    for method in ("AppendMessage", "AppendMessages"):
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await call(service, method, "s", new_session=spb.SessionFields())


@pytest.mark.parametrize("end", ["deleted", "expired"])
async def test_what_has_ended_is_listed_if_asked_for(service: Service, database_url: str, end: str) -> None:
    """ListSessions returns deleted and expired sessions with show_deleted only."""
    await talk(service)
    await end_session(service, database_url, end)
    await create(service, "live")
    assert await _listed(service) == ["live"]
    assert await _listed(service, show_deleted=True) == ["live", "s"]


@pytest.mark.parametrize("end", ["deleted", "expired"])
async def test_what_has_ended_can_be_restored(service: Service, database_url: str, end: str) -> None:
    """UndeleteSession brings back the session with all its messages, and clears an expiry that has passed."""
    before, messages = await talk(service), await stored(service)
    await end_session(service, database_url, end)
    restored = (await call(service, "UndeleteSession", "s")).session
    assert await get(service) == restored
    assert await stored(service) == messages
    assert restored.etag != before.etag
    for field in ("update_time", "etag"):
        restored.ClearField(field)
        before.ClearField(field)
    assert restored == before
    assert (await append(service, "s", said())).last_sequence == 4


async def test_a_coming_expiry_outlives_a_deletion(service: Service) -> None:
    """An expiry in the future survives delete and undelete, with its purge_time."""
    before = await talk(service, expire_time={"seconds": 4_000_000_000})
    deleted = (await call(service, "DeleteSession", "s")).session
    assert deleted.purge_time.seconds < before.purge_time.seconds
    restored = (await call(service, "UndeleteSession", "s")).session
    assert (restored.expire_time, restored.purge_time) == (before.expire_time, before.purge_time)


async def test_a_live_session_is_not_restored(service: Service) -> None:
    """UndeleteSession of a live session is FAILED_PRECONDITION, and changes nothing."""
    before = await talk(service)
    with fails("FAILED_PRECONDITION", "SESSION_NOT_DELETED"):
        await call(service, "UndeleteSession", "s")
    assert await get(service) == before


@pytest.mark.parametrize("end", ["deleted", "expired"])
async def test_after_its_purge_time_nothing_is_restored(
    service: Service, database_url: str, end: str
) -> None:
    """After its purge time UndeleteSession is NOT_FOUND, even while the rows still exist."""
    await talk(service)
    await end_session(service, database_url, end)
    execute(database_url, DUE)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(service, "UndeleteSession", "s")


@pytest.mark.parametrize("end", ["live", "deleted", "expired"])
async def test_a_purge_removes_everything(service: Service, database_url: str, end: str) -> None:
    """A purge removes session and messages, live or not; it returns the session and frees the id."""
    before = await talk(service)
    if end != "live":
        await end_session(service, database_url, end)
    before = (await call(service, "ListSessions", "", show_deleted=True)).sessions[0]
    assert (await call(service, "DeleteSession", "s", purge=True)).session == before
    assert execute(database_url, "select 1 from sessions union all select 1 from messages") == []
    assert await _listed(service, show_deleted=True) == []
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(service, "UndeleteSession", "s")
    made = await call(service, "AppendMessage", "s", new_session=spb.SessionFields())
    assert (made.session_created, made.last_sequence) == (True, 1)


@pytest.mark.parametrize("purge", [False, True])
async def test_a_missing_session_is_not_deleted(service: Service, *, purge: bool) -> None:
    """DeleteSession of a missing session is NOT_FOUND, or an empty answer with allow_missing."""
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(service, "DeleteSession", "s", purge=purge)
    answer = await call(service, "DeleteSession", "s", purge=purge, allow_missing=True)
    assert answer == pb.DeleteSessionResponse()


@pytest.mark.parametrize("end", ["deleted", "expired"])
async def test_what_has_ended_is_not_deleted_again(service: Service, database_url: str, end: str) -> None:
    """Without purge an ended session counts as missing; its times do not change."""
    await talk(service)
    await end_session(service, database_url, end)
    (before,) = (await call(service, "ListSessions", "", show_deleted=True)).sessions
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(service, "DeleteSession", "s")
    assert await call(service, "DeleteSession", "s", allow_missing=True) == pb.DeleteSessionResponse()
    assert list((await call(service, "ListSessions", "", show_deleted=True)).sessions) == [before]


async def test_allow_missing_deletes_what_is_there(service: Service) -> None:
    """allow_missing changes nothing for an existing session."""
    await talk(service)
    assert (await call(service, "DeleteSession", "s", allow_missing=True)).session.HasField("delete_time")
    assert await _listed(service) == []


async def test_an_expiry_can_be_put_off(service: Service, database_url: str) -> None:
    """The expiry counts from the update that sets it; an expiry in the future can be moved or cleared."""
    await talk(service, ttl={"seconds": 3_600})
    later = await update(service, "s", ttl=_seconds(7_200))
    assert later.expire_time.ToMicroseconds() - later.update_time.ToMicroseconds() == 7_200 * 10**6
    assert not (await update(service, "s", "ttl")).HasField("purge_time")
    await end_session(service, database_url, "expired")
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await update(service, "s", ttl=_seconds(7_200))


async def test_the_retention_is_the_servers(
    serve: Callable[..., Awaitable[Service]], database_url: str
) -> None:
    """A setting of the server says how long a deleted session is kept."""
    service = await serve(database_url, delete_retention_days=1)
    await talk(service)
    deleted = (await call(service, "DeleteSession", "s")).session
    assert deleted.purge_time.seconds - deleted.delete_time.seconds == 24 * 3600


def _seconds(seconds: int) -> Duration:
    return spb.SessionFields(ttl={"seconds": seconds}).ttl
