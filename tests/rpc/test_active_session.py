"""GetActiveSession: where a user's conversation goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import append, call, create, fresh_id, get, race, request, said, update

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.databases import execute
from support.errors import fails

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

ACTIVE = spb.SESSION_STATUS_ACTIVE
COMPLETED, ABANDONED = spb.SESSION_STATUS_COMPLETED, spb.SESSION_STATUS_ABANDONED


async def active(service: Service, user_id: str, **fields: Any) -> Any:
    """Get a user's active session."""
    return await service.stub.GetActiveSession(pb.GetActiveSessionRequest(user_id=user_id, **fields))


async def test_the_session_of_the_latest_activity(shared: Service) -> None:
    """An append moves a session to the front, as creation does; others' sessions do not count."""
    user, other = fresh_id(), fresh_id()
    first = (await create(shared, fresh_id(), user_id=user)).session_id
    second = (await create(shared, fresh_id(), user_id=user)).session_id
    await create(shared, fresh_id(), user_id=other)
    await create(shared, fresh_id())
    found = await active(shared, user)
    assert found == pb.GetActiveSessionResponse(session=await get(shared, second))
    await append(shared, first, said())
    assert (await active(shared, user)).session == await get(shared, first)


@pytest.mark.parametrize("end", ["completed", "abandoned", "deleted", "purged", "expired"])
async def test_what_has_ended_is_passed_over(service: Service, database_url: str, end: str) -> None:
    """The next one is found, then none; what is active again is found again."""
    for session_id in ("first", "second"):
        await create(service, session_id, user_id="u")
    for session_id, next_id in (("second", "first"), ("first", "")):
        assert (await active(service, "u")).session.session_id == session_id
        if end in ("deleted", "purged"):
            await call(service, "DeleteSession", session_id, purge=end == "purged")
        elif end == "expired":
            execute(
                database_url,
                "update sessions set expire_time = now(), purge_time = now() + interval '1 day'"
                f" where session_id = '{session_id}'",
            )
        else:
            await update(service, session_id, status=COMPLETED if end == "completed" else ABANDONED)
        if next_id:
            assert (await active(service, "u")).session.session_id == next_id
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await active(service, "u")
    if end in ("completed", "abandoned"):
        again = await update(service, "first", status=ACTIVE)
        assert not again.HasField("complete_time")
        assert (await active(service, "u")).session == again
    elif end != "purged":
        await call(service, "UndeleteSession", "second")
        assert (await active(service, "u")).session.session_id == "second"


async def test_get_or_create(shared: Service) -> None:
    """One is made of what is given, once; the one there is returned as it is."""
    user = fresh_id()
    given = spb.Session(title="t", labels={"a": "b"}, state='{"a":1.0}', metadata="{}")
    made = await active(shared, user, create_session=given)
    assert made.created
    assert (made.session.user_id, made.session.title, made.session.state) == (user, "t", '{"a":1.0}')
    assert (made.session.status, made.session.state_version) == (ACTIVE, 0)
    assert await get(shared, made.session.session_id) == made.session
    found = await active(shared, user, create_session=spb.Session(title="another", user_id=user))
    assert (found.session, found.created) == (made.session, False)
    await update(shared, made.session.session_id, status=COMPLETED)
    session_id = fresh_id()
    second = await active(shared, user, create_session=spb.Session(session_id=session_id))
    assert (second.session.session_id, second.created) == (session_id, True)


async def test_a_taken_id_is_already_exists(shared: Service) -> None:
    """Whoever has it, in whatever status; the session there stays as it is."""
    user = fresh_id()
    ended = await create(shared, fresh_id(), user_id=user, status=COMPLETED)
    for user_id in (user, fresh_id()):
        with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
            await active(shared, user_id, create_session=spb.Session(session_id=ended.session_id))
    assert await get(shared, ended.session_id) == ended


@pytest.mark.parametrize(
    ("path", "user_id", "fields"),
    [
        ("user_id", "", {}),
        ("user_id", "u" * 257, {}),
        ("user_id", "\0", {}),
        ("create_session.user_id", "u", {"user_id": "v"}),
        ("create_session.status", "u", {"status": COMPLETED}),
        ("create_session.state", "u", {"state": "[]"}),
        ("create_session.session_id", "u", {"session_id": "a b"}),
    ],
)
async def test_what_is_refused(shared: Service, path: str, user_id: str, fields: dict[str, Any]) -> None:
    """A user is needed, and a session that can be that user's active one."""
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await active(shared, user_id, create_session=spb.Session(**fields))
    assert list(failure.violations) == [path]


async def test_a_server_that_requires_users(
    serve: Callable[..., Awaitable[Service]], database_url: str
) -> None:
    """It has the user from the request."""
    service = await serve(database_url, require_user_id=True)
    assert (await active(service, "u", create_session=spb.Session())).created


def _active(user_id: str = "u") -> tuple[str, Any]:
    asked = pb.GetActiveSessionRequest(user_id=user_id, create_session=spb.Session())
    return "GetActiveSession", asked


async def test_calls_at_the_same_time_make_one_session(service: Service, stubs: list[Any]) -> None:
    """For each user one, however many ask, beside creations and appends."""
    users = [f"u{number}" for number in range(5)]
    calls = [_active(user) for user in users * 16]
    answers = await race(stubs, calls)
    for number, user in enumerate(users):
        mine = answers[number :: len(users)]
        assert sum(answer.created for answer in mine) == 1
        assert {answer.session.session_id for answer in mine} == {mine[0].session.session_id}
        assert len((await call(service, "ListSessions", "", user)).sessions) == 1


async def test_sessions_that_end_while_they_are_asked_for(service: Service, stubs: list[Any]) -> None:
    """Each end makes room for one more; never is there a second one beside an active one."""
    for round_ in range(8):
        current = (await active(service, "u", create_session=spb.Session())).session
        changed = spb.Session(session_id=current.session_id, status=COMPLETED)
        ending = ("UpdateSession", request("UpdateSession", "", session=changed))
        if round_ % 2:
            ending = ("DeleteSession", request("DeleteSession", current.session_id, purge=round_ % 4 == 3))
        calls = [_active() for _ in range(16)]
        calls.insert(2 * round_, ending)
        answers = await race(stubs, calls)
        assert not [answer for answer in answers if isinstance(answer, str)]
        del answers[2 * round_]
        others = {answer.session.session_id for answer in answers} - {current.session_id}
        assert sum(answer.created for answer in answers) == len(others) <= 1
        open_ = await call(service, "ListSessions", "", "u", statuses=[ACTIVE])
        assert {session.session_id for session in open_.sessions} == others


async def test_a_users_list_has_the_ended_between_the_active(service: Service) -> None:
    """By activity, page by page, in both directions of status; the same with each page size."""
    for number in range(12):
        await create(service, f"s{number}", user_id="u", status=(ACTIVE, COMPLETED, ABANDONED)[number % 3])
    await call(service, "DeleteSession", "s3")
    await append(service, "s0", said())
    order = ["s0", *(f"s{number}" for number in range(11, 0, -1))]
    for size in (1, 2, 5, 50):
        for show_deleted in (False, True):
            listed, token = [], ""
            while True:
                fields = {"page_size": size, "page_token": token, "show_deleted": show_deleted}
                page = await call(service, "ListSessions", "", "u", **fields)
                listed += [session.session_id for session in page.sessions]
                token = page.next_page_token
                if not token:
                    break
            assert listed == [name for name in order if show_deleted or name != "s3"]
