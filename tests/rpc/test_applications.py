"""The application of a session: set at creation, a filter of lists and of active sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import all_pages, append, call, create, fresh_id, get, race, said, update
from stream_support import finish, header, stream, text

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

pytestmark = pytest.mark.pooled

NAMES = ("a", " Übersicht/1 ", "x" * 256, "👩‍👩‍👧" * 51)
COMPLETED = spb.SESSION_STATUS_COMPLETED


async def of_user(service: Service, user: str, **filters: Any) -> list[str]:
    """Return the ids of a user's sessions, page by page."""
    listing = pb.ListSessionsRequest(user_id=user, page_size=2, **filters)
    pages = [page async for page in all_pages(service.stub.ListSessions, listing)]
    return [session.session_id for page in pages for session in page.sessions]


async def created_by(service: Service, method: str, fields: spb.SessionFields) -> str:
    """Create a session by one of the RPCs that can; return its id."""
    session_id, user = fresh_id(), fresh_id()
    match method:
        case "CreateSession":
            await call(service, method, session_id, session=fields)
        case "EnsureActiveSession":
            await service.stub.EnsureActiveSession(
                pb.EnsureActiveSessionRequest(user_id=user, new_session_id=session_id, new_session=fields)
            )
        case "AppendMessageStream":
            await stream(service, header(session_id, new_session=fields), text("a"), finish())
        case "ForkSession" | "ResetSession":
            await create(service, user, application_id="of the original")
            await call(service, method, user, new_session_id=session_id, new_session=fields)
        case _:
            await call(service, method, session_id, new_session=fields)
    return session_id


@pytest.mark.parametrize("application_id", NAMES)
@pytest.mark.parametrize(
    "method",
    [
        *("CreateSession", "EnsureActiveSession", "AppendMessage", "AppendMessages", "AppendMessageStream"),
        *("ForkSession", "ResetSession"),
    ],
)
async def test_a_session_is_created_with_an_application(
    shared: Service, method: str, application_id: str
) -> None:
    """Every RPC that creates a session stores the application, and returns it as it was sent."""
    session_id = await created_by(shared, method, spb.SessionFields(application_id=application_id))
    assert (await get(shared, session_id)).application_id == application_id


@pytest.mark.parametrize("keep_messages", [False, True])
async def test_a_copy_is_of_the_same_application(shared: Service, *, keep_messages: bool) -> None:
    """A copy has the application of its original, unless the request names another."""
    source, fork, reset = fresh_id(), fresh_id(), fresh_id()
    await append(shared, source, said(), new_session={"application_id": "a"})
    await call(shared, "ForkSession", source, new_session_id=fork)
    await call(shared, "ResetSession", source, new_session_id=reset, keep_messages=keep_messages)
    assert [(await get(shared, name)).application_id for name in (fork, reset)] == ["a", "a"]


async def test_an_application_is_kept(shared: Service) -> None:
    """Updates, appends, undeletions and calls that find the session keep its application."""
    session_id = (await create(shared, fresh_id(), application_id="a", labels={"a": "b"})).session_id
    await update(shared, session_id, title="changed")
    await update(shared, session_id, "*")
    await append(shared, session_id, said(), new_session={"application_id": "b"})
    await call(shared, "DeleteSession", session_id)
    await call(shared, "UndeleteSession", session_id)
    other = {"session": {"application_id": "b"}, "allow_existing": True}
    found = await call(shared, "CreateSession", session_id, **other)
    assert (found.session.application_id, found.created) == ("a", False)


@pytest.mark.parametrize("application_id", ["a", "other"])
@pytest.mark.parametrize("paths", [(), ("title",), ("application_id",), ("*",)])
async def test_an_application_cannot_be_changed(
    shared: Service, application_id: str, paths: tuple[str, ...]
) -> None:
    """An update that names the application is refused, even with the same value."""
    before = await create(shared, fresh_id(), application_id="a")
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await update(shared, before.session_id, *paths, application_id=application_id, title="t")
    assert "session.application_id" in failure.violations
    assert await get(shared, before.session_id) == before


@pytest.mark.parametrize("application_id", ["x" * 257, "a\0b"])
async def test_what_no_application_can_be_called(shared: Service, application_id: str) -> None:
    """An invalid application is refused in every request that can have one."""
    user = fresh_id()
    given = {"application_id": application_id}
    refused: list[tuple[str, str, dict[str, Any]]] = [
        ("ListSessions", "application_id", given),
        ("GetActiveSession", "application_id", given),
        ("CreateSession", "session.application_id", {"session": given}),
        *(
            (method, "new_session.application_id", {"new_session": given})
            for method in ("EnsureActiveSession", "AppendMessage", "AppendMessages", "ForkSession")
        ),
        ("ResetSession", "new_session.application_id", {"new_session": given}),
    ]
    for method, path, fields in refused:
        with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
            await call(shared, method, fresh_id(), user, **fields)
        assert list(failure.violations) == [path]


async def test_lists_of_an_application(shared: Service) -> None:
    """A list can be limited to an application, for one user or all, with other filters, in each order.

    Without the filter the list has sessions of all applications.
    """
    user, other, application = fresh_id(), fresh_id(), fresh_id()
    made: dict[str, list[str]] = {user: [], other: []}
    for number in range(12):
        owner = (user, user, other)[number % 3]
        fields = {"application_id": (application, "b", "")[number % 4 % 3], "title": f"t{number % 2}"}
        made[owner].append((await create(shared, fresh_id(), owner, **fields)).session_id)
    of_application = {"application_id": application}
    mine = [made[user][place] for place in (0, 2, 3, 5)]
    for order in pb.SessionOrder.values():
        sign = (
            1 if order in (pb.SESSION_ORDER_LAST_ACTIVITY_TIME_ASC, pb.SESSION_ORDER_CREATE_TIME_ASC) else -1
        )
        assert await of_user(shared, user, order_by=order, **of_application) == mine[::sign]
        assert len(await of_user(shared, "", order_by=order, **of_application)) == 6
        assert await of_user(shared, user, order_by=order) == made[user][::sign]
    titled = await of_user(shared, user, title_contains="t1", **of_application)
    assert titled == [made[user][5], made[user][2]]
    assert not await of_user(shared, user, application_id=fresh_id())
    await call(shared, "DeleteSession", mine[0])
    assert await of_user(shared, user, **of_application) == mine[:0:-1]
    assert await of_user(shared, user, show_deleted=True, **of_application) == mine[::-1]


async def test_a_page_token_is_for_its_application(shared: Service) -> None:
    """A page token of another application's list is refused."""
    user = fresh_id()
    for _ in range(2):
        await create(shared, fresh_id(), user, application_id="a")
    page = await call(shared, "ListSessions", "", user, application_id="a", page_size=1)
    assert page.next_page_token
    with fails("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN"):
        await call(shared, "ListSessions", "", user, application_id="b", page_token=page.next_page_token)


async def test_the_active_session_of_an_application(shared: Service) -> None:
    """A user has one active session in each application; without an application the newest is found."""
    user = fresh_id()
    made = {}
    for application_id in ("a", "b"):
        for created in (True, False):
            new = {"application_id": application_id}
            found = await call(shared, "EnsureActiveSession", "", user, new_session=new)
            assert (found.created, found.session.application_id) == (created, application_id)
        made[application_id] = found.session.session_id
    await append(shared, made["a"], said())
    for wanted, expected in {"": "a", "a": "a", "b": "b"}.items():
        found = await call(shared, "GetActiveSession", "", user, application_id=wanted)
        assert found.session.session_id == made[expected]
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(shared, "GetActiveSession", "", user, application_id="c")
    with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
        await shared.stub.EnsureActiveSession(
            pb.EnsureActiveSessionRequest(
                user_id=user, new_session_id=made["a"], new_session={"application_id": "c"}
            )
        )
    found = await call(shared, "EnsureActiveSession", "", user, new_session={"title": "of any"})
    assert (found.created, found.session.session_id) == (False, made["a"])
    await update(shared, made["a"], status=COMPLETED)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(shared, "GetActiveSession", "", user, application_id="a")
    found = await call(shared, "GetActiveSession", "", user)
    assert found.session.session_id == made["b"]


async def test_calls_at_the_same_time_make_one_session_for_each_application(
    service: Service, stubs: list[Any]
) -> None:
    """Concurrent calls create one session for each application of a user."""
    applications = [f"a{number}" for number in range(5)]
    calls = [
        (
            "EnsureActiveSession",
            pb.EnsureActiveSessionRequest(user_id="u", new_session={"application_id": application}),
        )
        for application in applications * 16
    ]
    answers = await race(stubs, calls)
    for number, application in enumerate(applications):
        mine = answers[number :: len(applications)]
        assert sum(answer.created for answer in mine) == 1
        assert {answer.session.application_id for answer in mine} == {application}
    assert len(await of_user(service, "u")) == len(applications)


async def test_an_application_is_no_owner(
    serve: Callable[..., Awaitable[Service]], database_url: str
) -> None:
    """A session is found by its id and by its user, whatever its application."""
    service = await serve(database_url, require_user_id=True)
    await create(service, "s", "u", application_id="a")
    assert (await call(service, "GetSession", "s", "u")).session.application_id == "a"
    for user, found in (("u", ["s"]), ("v", [])):
        assert await of_user(service, user, application_id="a") == found
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await of_user(service, "", application_id="a")
    assert list(failure.violations) == ["user_id"]
