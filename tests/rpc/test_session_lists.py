"""Lists of sessions: filters, orders, and pages that stay right while sessions are created and deleted."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from rpc_support import all_pages, append, call, create, get, request, said, update

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.databases import execute

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

pytestmark = pytest.mark.pooled

ACTIVE, COMPLETED, ABANDONED = (spb.SessionStatus.values())[1:]
ACTIVITY, CREATION = pb.SESSION_ORDER_LAST_ACTIVITY_TIME_DESC, pb.SESSION_ORDER_CREATE_TIME_DESC
ACTIVITY_ASC, CREATION_ASC = pb.SESSION_ORDER_LAST_ACTIVITY_TIME_ASC, pb.SESSION_ORDER_CREATE_TIME_ASC
LATEST_FIRST = pytest.mark.parametrize("order", [ACTIVITY, CREATION], ids=["activity", "creation"])
EARLIEST_FIRST = pytest.mark.parametrize("order", [ACTIVITY_ASC, CREATION_ASC], ids=["activity", "creation"])
ORDERS = pytest.mark.parametrize("order", pb.SessionOrder.values()[1:], ids=pb.SessionOrder.Name)

# By creation a is the newest, by activity d; the numbers are seconds since the epoch.
SESSIONS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "a": (
        6,
        6,
        {"user_id": "u", "application_id": "m", "title": "100% Über_all", "labels": {"k": "1", "l": "x"}},
    ),
    "b": (5, 8, {"user_id": "u", "title": "100 pieces", "labels": {"k": "1"}, "status": COMPLETED}),
    "c": (4, 7, {"user_id": "v", "title": "ÜBERALL /path\\x", "labels": {"k": "2"}, "status": ABANDONED}),
    "d": (3, 9, {"user_id": "v", "application_id": "m", "labels": {"k": "1", "l": "y"}}),
    "e": (2, 2, {"application_id": "M", "title": "a'b\"c", "labels": {"L": "x"}, "status": COMPLETED}),
    "x": (1, 1, {"user_id": "u", "application_id": "m", "title": "deleted", "labels": {"k": "1"}}),
}
DELETED = (
    "update sessions set delete_time = now(), purge_time = now() + interval '1 day' where session_id = 'x'"
)

# The filters, and the sessions that pass them, by creation.
FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "abcde"),
    ({"show_deleted": True}, "abcdex"),
    ({"user_id": "u"}, "ab"),
    ({"user_id": "u", "show_deleted": True}, "abx"),
    ({"user_id": "w"}, ""),
    ({"application_id": "m"}, "ad"),
    ({"application_id": "M"}, "e"),
    ({"application_id": "m", "user_id": "u"}, "a"),
    ({"application_id": "m", "user_id": "u", "show_deleted": True}, "ax"),
    ({"application_id": "m", "user_id": "v", "statuses": [ACTIVE]}, "d"),
    ({"application_id": "m", "last_activity_time_after": Timestamp(seconds=7)}, "d"),
    ({"application_id": "m "}, ""),
    ({"statuses": [ACTIVE]}, "ad"),
    ({"statuses": [COMPLETED, ABANDONED, COMPLETED]}, "bce"),
    ({"labels": {"k": "1"}}, "abd"),
    ({"labels": {"k": "1", "l": "x"}}, "a"),
    ({"labels": {"l": "X"}}, ""),
    ({"labels": {"k": ""}}, ""),
    ({"title_contains": "über"}, "ac"),
    ({"title_contains": "ÜBER"}, "ac"),
    ({"title_contains": "100%"}, "a"),
    ({"title_contains": "r_a"}, "a"),
    ({"title_contains": "/PATH\\x"}, "c"),
    ({"title_contains": "\\"}, "c"),
    ({"title_contains": "'b\""}, "e"),
    ({"title_contains": "none"}, ""),
    ({"create_time_after": Timestamp(seconds=4)}, "ab"),
    ({"create_time_after": Timestamp(seconds=3, nanos=999_999_999)}, "abc"),
    ({"create_time_before": Timestamp(seconds=4)}, "de"),
    ({"create_time_before": Timestamp(seconds=4, nanos=1)}, "cde"),
    ({"last_activity_time_after": Timestamp(seconds=7)}, "bd"),
    ({"last_activity_time_before": Timestamp(seconds=7)}, "ae"),
    ({"create_time_after": Timestamp(seconds=2), "create_time_before": Timestamp(seconds=6)}, "bcd"),
    ({"create_time_after": Timestamp(seconds=6), "create_time_before": Timestamp(seconds=2)}, ""),
    (
        {"last_activity_time_after": Timestamp(seconds=1), "last_activity_time_before": Timestamp(seconds=8)},
        "ace",
    ),
    ({"user_id": "v", "statuses": [ACTIVE], "labels": {"k": "1"}}, "d"),
    ({"user_id": "u", "title_contains": "100", "last_activity_time_before": Timestamp(seconds=8)}, "a"),
    ({"labels": {"k": "1"}, "create_time_before": Timestamp(seconds=3), "show_deleted": True}, "x"),
]


@pytest_asyncio.fixture
async def library(service: Service, database_url: str) -> Service:
    """A service with the sessions above."""
    for session_id, (created, active, fields) in SESSIONS.items():
        await create(service, session_id, **fields)
        times = f"create_time = to_timestamp({created}), active_time = to_timestamp({active})"
        execute(database_url, f"update sessions set {times} where session_id = '{session_id}'")
    execute(database_url, DELETED)
    return service


async def _list(service: Service, page_size: int = 0, **fields: Any) -> list[list[str]]:
    """Return the ids of all pages."""
    listing = request("ListSessions", "", page_size=page_size, **fields)
    pages = [page async for page in all_pages(service.stub.ListSessions, listing)]
    return [[session.session_id for session in page.sessions] for page in pages]


def _ordered(session_ids: list[str], order: pb.SessionOrder) -> list[str]:
    """Return session ids, which are given latest first, in an order."""
    return session_ids[::-1] if order in (ACTIVITY_ASC, CREATION_ASC) else session_ids


def _by_activity(session_ids: str) -> list[str]:
    return sorted(session_ids, key=lambda session_id: -SESSIONS[session_id][1])


@ORDERS
async def test_filters_alone_and_together_in_each_order(library: Service, order: pb.SessionOrder) -> None:
    """A list has the sessions that pass all filters, by activity or creation, either way, in any pages."""
    for fields, found in FILTERS:
        latest_first = list(found) if order in (CREATION, CREATION_ASC) else _by_activity(found)
        for page_size in (0, 1, 2):
            pages = await _list(library, page_size, order_by=order, **fields)
            assert [*chain(*pages)] == _ordered(latest_first, order), (fields, page_size)


async def test_the_default_order_is_by_activity(library: Service) -> None:
    """Without an order the list is by LAST_ACTIVITY_TIME_DESC, and tokens are the same."""
    assert await _list(library) == await _list(library, order_by=ACTIVITY)


async def test_a_list_holds_whole_sessions(library: Service) -> None:
    """A list has sessions as GetSession returns them."""
    for session in (await call(library, "ListSessions", "")).sessions:
        assert session == (await call(library, "GetSession", session.session_id)).session


@ORDERS
async def test_no_session_is_on_no_page(service: Service, order: pb.SessionOrder) -> None:
    """Pages are full, the last one has no token, and an empty list is one empty page."""
    assert await _list(service, order_by=order) == [[]]
    for session_id in _ordered(list("abcd"), order):
        await create(service, session_id)
    assert await _list(service, 2, order_by=order) == [["d", "c"], ["b", "a"]]
    assert await _list(service, 3, order_by=order) == [["d", "c", "b"], ["a"]]
    assert await _list(service, 4, order_by=order) == [["d", "c", "b", "a"]]


@ORDERS
async def test_equal_times_are_paged_once_each(
    service: Service, database_url: str, order: pb.SessionOrder
) -> None:
    """Sessions with equal times come once each, always in the same order."""
    for number in range(12):
        await create(service, f"s{number}")
    execute(database_url, "update sessions set create_time = to_timestamp(1), active_time = to_timestamp(1)")
    pages = await _list(service, 5, order_by=order)
    assert [len(page) for page in pages] == [5, 5, 2]
    assert {session_id for page in pages for session_id in page} == {f"s{number}" for number in range(12)}
    (latest_first,) = await _list(service, order_by=CREATION)
    assert [*chain(*pages)] == _ordered(latest_first, order)


@LATEST_FIRST
async def test_pages_stay_right_while_sessions_come_and_go(service: Service, order: pb.SessionOrder) -> None:
    """Sessions that are created or deleted between pages make no other session repeat or disappear."""
    for number in range(10):
        await create(service, f"s{number}")
    seen: list[str] = []
    listing = request("ListSessions", "", order_by=order, page_size=2)
    async for page in all_pages(service.stub.ListSessions, listing):
        seen += [session.session_id for session in page.sessions]
        last = int(seen[-1].removeprefix("s"))
        await create(service, f"new-{last}")
        await call(service, "DeleteSession", f"s{last}", purge=True)
        await call(service, "DeleteSession", f"s{max(last - 1, 0)}", allow_missing=True)
    # Of every three sessions the third was deleted before its page was read.
    assert seen == ["s9", "s8", "s6", "s5", "s3", "s2", "s0"]


@EARLIEST_FIRST
async def test_earliest_first_what_is_made_comes_last(service: Service, order: pb.SessionOrder) -> None:
    """Sessions created between pages are on the last pages.

    By activity, a session that gets a message comes again.
    """
    for number in range(6):
        await create(service, f"s{number}")
    pages = all_pages(service.stub.ListSessions, request("ListSessions", "", order_by=order, page_size=2))
    assert [session.session_id for session in (await anext(pages)).sessions] == ["s0", "s1"]
    await create(service, "s6")
    await append(service, "s1", said())
    await append(service, "s3", said())
    rest = [session.session_id async for page in pages for session in page.sessions]
    by_activity = ["s2", "s4", "s5", "s6", "s1", "s3"]
    assert rest == (by_activity if order == ACTIVITY_ASC else ["s2", "s3", "s4", "s5", "s6"])


async def test_by_activity_what_becomes_active_moves_to_the_front(service: Service) -> None:
    """A session that gets a message between pages leaves the pages to come by activity, not by creation."""
    for number in range(6):
        await create(service, f"s{number}")
    pages = {
        order: all_pages(service.stub.ListSessions, request("ListSessions", "", order_by=order, page_size=2))
        for order in (ACTIVITY, CREATION)
    }
    for iterator in pages.values():
        assert [session.session_id for session in (await anext(iterator)).sessions] == ["s5", "s4"]
    await append(service, "s2", said())
    await append(service, "s5", said())
    rest = {
        order: [session.session_id async for page in iterator for session in page.sessions]
        for order, iterator in pages.items()
    }
    assert rest == {ACTIVITY: ["s3", "s1", "s0"], CREATION: ["s3", "s2", "s1", "s0"]}
    assert await _list(service) == [["s5", "s2", "s4", "s3", "s1", "s0"]]


async def test_an_update_is_no_activity(service: Service) -> None:
    """Updates, deletion and restoration do not change a session's position by activity."""
    for session_id in "abc":
        await create(service, session_id)
    await update(service, "a", title="t")
    await call(service, "DeleteSession", "b")
    await call(service, "UndeleteSession", "b")
    assert await _list(service) == [["c", "b", "a"]]


async def test_activity_is_the_last_message_or_else_creation(service: Service) -> None:
    """last_activity_time and its bounds use the last message's time, or without messages the creation's."""
    session = await create(service, "s")
    created = session.create_time
    assert session.last_activity_time == created
    assert await _list(service, last_activity_time_after=created) == [[]]
    message = (await append(service, "s", said())).messages[0]
    assert (await get(service, "s")).last_activity_time == message.create_time
    assert await _list(service, last_activity_time_after=created) == [["s"]]
    assert await _list(service, last_activity_time_before=message.create_time) == [[]]


async def test_a_page_may_be_of_another_size(service: Service) -> None:
    """Pages of one list may differ in page_size."""
    for number in range(6):
        await create(service, f"s{number}")
    token = ""
    sizes: list[int] = []
    for page_size in (1, 2, 1_000):
        page = await call(service, "ListSessions", "", page_size=page_size, page_token=token)
        token, sizes = page.next_page_token, [*sizes, len(page.sessions)]
    assert (sizes, token) == ([1, 2, 3], "")


async def test_a_strict_server_lists_the_users_own(
    serve: Callable[..., Awaitable[Service]], database_url: str
) -> None:
    """With require_user_id a list has that user's sessions, page by page."""
    service = await serve(database_url, require_user_id=True)
    for number in range(6):
        await create(service, f"s{number}", user_id="uv"[number % 2])
    assert await _list(service, 2, user_id="v") == [["s5", "s3"], ["s1"]]
