"""Creating and changing sessions: values, masks, status, etag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from rpc_support import append, call, create, fresh_id, get, said, update

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from support.service import Service

pytestmark = pytest.mark.pooled

ACTIVE = spb.SESSION_STATUS_ACTIVE
COMPLETED, ABANDONED = spb.SESSION_STATUS_COMPLETED, spb.SESSION_STATUS_ABANDONED
MAXIMUM, BUDGET = "history_settings.max_messages", "history_settings.token_budget"

FULL: dict[str, Any] = {
    "title": "a title",
    "model": "a model",
    "status": COMPLETED,
    "labels": {"a": "1", "b": ""},
    "metadata": ' {"b" : 1.0, "a":12345678901234567890, "b":2}\t',
    "state": '{"route":["\\u00e9","é"],"n":1e400}\n',
    "history_settings": {"max_messages": 5, "token_budget": 0},
    "expire_time": Timestamp(seconds=4_000_000_000, nanos=123_456_000),
}
OTHER: dict[str, Any] = {
    "title": "another",
    "model": "another",
    "status": ABANDONED,
    "labels": {"c": "3"},
    "metadata": "{}",
    "state": '{"x":null}',
    "history_settings": {"max_messages": 6, "token_budget": 7},
    "expire_time": Timestamp(seconds=5_000_000_000),
}
CLEARED: dict[str, Any] = {
    "title": "",
    "model": "",
    "status": ACTIVE,
    "labels": {},
    "metadata": "",
    "state": "",
    "history_settings": spb.HistorySettings(),
    "expire_time": Timestamp(),
}


def _values(session: spb.Session | spb.SessionFields) -> dict[str, Any]:
    """Return the mutable fields of a session."""
    return {name: getattr(session, name) for name in FULL}


def _expected(fields: dict[str, Any]) -> dict[str, Any]:
    return _values(spb.SessionFields(**fields))


async def test_a_created_session_can_be_read(shared: Service) -> None:
    """GetSession returns every field that CreateSession returned and the caller sent, byte for byte."""
    created = await create(shared, fresh_id(), user_id="u", **FULL)
    assert created.user_id == "u"
    assert _values(created) == _expected(FULL)
    assert await get(shared, created.session_id) == created


async def test_a_session_of_defaults(shared: Service) -> None:
    """A session without fields is active, empty and ownerless, with an id that the server makes."""
    answer = await shared.stub.CreateSession(pb.CreateSessionRequest())
    session = answer.session
    assert answer.created
    assert session.create_time == session.update_time
    expected = spb.Session(session_id=session.session_id, status=ACTIVE, etag=session.etag)
    expected.token_counter = "characters@2"
    expected.create_time.CopyFrom(session.create_time)
    expected.update_time.CopyFrom(session.update_time)
    expected.last_activity_time.CopyFrom(session.create_time)
    assert session == expected
    assert session.session_id
    assert session.etag


async def test_a_taken_id_is_already_exists(shared: Service) -> None:
    """CreateSession does not replace an existing session."""
    created = await create(shared, fresh_id(), title="first")
    with fails("ALREADY_EXISTS", "SESSION_EXISTS") as failure:
        await create(shared, created.session_id, title="second")
    assert failure.metadata == {"session_id": created.session_id}
    assert await get(shared, created.session_id) == created


async def test_expire_time_is_kept_to_the_microsecond(shared: Service) -> None:
    """expire_time is rounded down to the microsecond; purge_time comes after the retention."""
    expire_time = Timestamp(seconds=4_000_000_000, nanos=1_999)
    session = await create(shared, fresh_id(), expire_time=expire_time)
    assert session.expire_time == Timestamp(seconds=4_000_000_000, nanos=1_000)
    assert session.purge_time.seconds > session.expire_time.seconds


@pytest.mark.parametrize("path", FULL)
@pytest.mark.parametrize("change", ["masked", "present", "cleared"])
async def test_an_update_changes_what_it_names(shared: Service, path: str, change: str) -> None:
    """An update changes the fields of the mask, or without a mask the present fields, and no others."""
    before = await create(shared, fresh_id(), **FULL)
    given = {"masked": OTHER, "present": {path: OTHER[path]}, "cleared": {}}[change]
    after = await update(shared, before.session_id, *([] if change == "present" else [path]), **given)
    new = CLEARED[path] if change == "cleared" else OTHER[path]
    assert _values(after) == _expected(FULL | {path: new})
    assert await get(shared, before.session_id) == after
    assert after.HasField("purge_time") == after.HasField("expire_time")
    assert after.update_time.ToMicroseconds() > before.update_time.ToMicroseconds()
    assert after.create_time == before.create_time


@pytest.mark.parametrize("paths", [["*"], ["*", "title"], list(FULL), [*FULL, "ttl", "title", "title"]])
@pytest.mark.parametrize(("fields", "expected"), [(OTHER, OTHER), ({}, CLEARED)])
async def test_an_update_of_everything(
    shared: Service, paths: list[str], fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    """The mask "*" names all fields that can be changed; a mask may name a field twice."""
    before = await create(shared, fresh_id(), user_id="u", **FULL)
    after = await update(shared, before.session_id, *paths, **fields)
    assert _values(after) == _expected(expected)
    assert (after.session_id, after.user_id) == (before.session_id, "u")


@pytest.mark.parametrize(
    ("paths", "settings", "expected"),
    [
        ([MAXIMUM], {"max_messages": 9, "token_budget": 9}, {"max_messages": 9, "token_budget": 0}),
        ([MAXIMUM], {}, {"token_budget": 0}),
        ([BUDGET], {}, {"max_messages": 5}),
        ([MAXIMUM, BUDGET], {"token_budget": 9}, {"token_budget": 9}),
        (["history_settings"], {"token_budget": 9}, {"token_budget": 9}),
        ([], {"token_budget": 9}, {"max_messages": 5, "token_budget": 9}),
        ([], {"max_messages": 0}, {"max_messages": 0, "token_budget": 0}),
    ],
)
async def test_an_update_of_one_setting(
    shared: Service, paths: list[str], settings: dict[str, int], expected: dict[str, int]
) -> None:
    """Each of the two settings can be named alone; without a mask only present ones change."""
    before = await create(shared, fresh_id(), **FULL)
    after = await update(shared, before.session_id, *paths, history_settings=settings)
    assert after.history_settings == spb.HistorySettings(**expected)


@pytest.mark.parametrize("path", ["ttl", "expire_time"])
async def test_an_update_sets_and_clears_the_expiry(shared: Service, path: str) -> None:
    """A mask with either ttl or expire_time clears the expiry if the session has neither."""
    session_id = (await create(shared, fresh_id())).session_id
    later = await update(shared, session_id, path, ttl=Duration(seconds=90, nanos=1_999))
    assert later.expire_time.ToMicroseconds() - later.update_time.ToMicroseconds() == 90_000_001
    later = await update(shared, session_id, path, expire_time=FULL["expire_time"])
    assert later.expire_time == FULL["expire_time"]
    assert not (await update(shared, session_id, path)).HasField("expire_time")


async def test_status_moves_and_keeps_its_time(shared: Service) -> None:
    """end_time is the last change to COMPLETED or ABANDONED; ACTIVE clears it and allows appends."""
    session_id = (await create(shared, fresh_id())).session_id
    completed = await update(shared, session_id, status=COMPLETED)
    assert completed.end_time == completed.update_time
    again = await update(shared, session_id, status=COMPLETED)
    assert again.end_time == completed.end_time
    renamed = await update(shared, session_id, title="t")
    assert renamed.end_time == completed.end_time
    abandoned = await update(shared, session_id, status=ABANDONED)
    assert abandoned.end_time == abandoned.update_time
    for method in ("AppendMessage", "AppendMessages"):
        with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"):
            await call(shared, method, session_id, new_session=spb.SessionFields())
    assert not (await update(shared, session_id, status=ACTIVE)).HasField("end_time")
    assert (await append(shared, session_id, said())).last_sequence == 1


async def test_a_finished_session_can_be_read(shared: Service) -> None:
    """Only appends require an active session."""
    session_id = fresh_id()
    await append(shared, session_id, said(), new_session=spb.SessionFields())
    await update(shared, session_id, status=COMPLETED)
    for method in (
        "GetSession",
        "GetMessage",
        "GetHistory",
        "ListMessages",
        "UpdateSession",
        "DeleteSession",
    ):
        await call(shared, method, session_id)


async def test_the_etag_guards_an_update(shared: Service) -> None:
    """An update with the present etag succeeds; with an older one it is ABORTED and changes nothing."""
    first = await create(shared, fresh_id())
    session_id = first.session_id
    await append(shared, session_id, said())
    second = await update(shared, session_id, title="t", etag=first.etag)
    with fails("ABORTED", "ETAG_MISMATCH") as failure:
        await update(shared, session_id, title="t2", etag=first.etag)
    assert failure.metadata == {"session_id": session_id, "actual_etag": second.etag}
    assert await get(shared, session_id) == second
    assert (await update(shared, session_id, title="t3")).title == "t3"


async def test_the_etag_changes_with_the_session(shared: Service) -> None:
    """Every update, delete and undelete changes the etag; appends do not."""
    session_id, etags = fresh_id(), []
    etags.append((await create(shared, session_id)).etag)
    etags.append((await update(shared, session_id, title="t")).etag)
    etags.append((await update(shared, session_id, title="t")).etag)
    etags.append((await update(shared, session_id, status=COMPLETED)).etag)
    etags.append((await call(shared, "DeleteSession", session_id)).session.etag)
    etags.append((await call(shared, "UndeleteSession", session_id)).session.etag)
    await call(shared, "DeleteSession", session_id, purge=True)
    etags.append((await create(shared, session_id)).etag)
    assert len(set(etags)) == len(etags)
    await append(shared, session_id, said())
    assert (await get(shared, session_id)).etag == etags[-1]


async def test_a_session_that_was_read_can_be_sent_back(shared: Service) -> None:
    """A session from GetSession is a valid update, which changes only the etag and update_time."""
    before = await create(shared, fresh_id(), user_id="u", **FULL)
    after = await update(shared, before.session_id, etag=before.etag, **_values(before))
    assert _values(after) == _values(before)
    assert after.end_time == before.end_time
