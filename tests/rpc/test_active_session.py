"""GetActiveSession and EnsureActiveSession: the session in which a user's conversation goes on."""

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

pytestmark = pytest.mark.pooled

ACTIVE = spb.SESSION_STATUS_ACTIVE
COMPLETED, ABANDONED = spb.SESSION_STATUS_COMPLETED, spb.SESSION_STATUS_ABANDONED


async def active(service: Service, user_id: str, **fields: Any) -> Any:
    """Call GetActiveSession."""
    return await service.stub.GetActiveSession(pb.GetActiveSessionRequest(user_id=user_id, **fields))


async def ensure(service: Service, user_id: str, new_session_id: str = "", **fields: Any) -> Any:
    """Call EnsureActiveSession."""
    return await service.stub.EnsureActiveSession(
        pb.EnsureActiveSessionRequest(user_id=user_id, new_session_id=new_session_id, **fields)
    )


async def test_the_session_of_the_latest_activity(shared: Service) -> None:
    """An append makes a session the newest, as its creation does; other users' sessions do not count."""
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
    """An ended session is skipped, until none is left; a reopened session is found again."""
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
        assert not again.HasField("end_time")
        assert (await active(service, "u")).session == again
    elif end != "purged":
        await call(service, "UndeleteSession", "second")
        assert (await active(service, "u")).session.session_id == "second"


async def test_reading_makes_nothing(shared: Service) -> None:
    """GetActiveSession never creates a session."""
    user = fresh_id()
    for _ in range(2):
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await active(shared, user)
    assert not (await call(shared, "ListSessions", "", user, show_deleted=True)).sessions


async def test_ensuring_makes_one(shared: Service) -> None:
    """EnsureActiveSession creates a session from the request once, then returns it unchanged."""
    user = fresh_id()
    given = spb.SessionFields(title="t", labels={"a": "b"}, state='{"a":1.0}', metadata="{}")
    made = await ensure(shared, user, new_session=given)
    assert made.created
    assert (made.session.user_id, made.session.title, made.session.state) == (user, "t", '{"a":1.0}')
    assert (made.session.status, made.session.state_version) == (ACTIVE, 0)
    assert await get(shared, made.session.session_id) == made.session
    found = await ensure(shared, user, new_session=spb.SessionFields(title="another"))
    assert (found.session, found.created) == (made.session, False)
    assert (await active(shared, user)).session == made.session
    await update(shared, made.session.session_id, status=COMPLETED)
    session_id = fresh_id()
    for created in (True, False):
        second = await ensure(shared, user, session_id)
        assert (second.session.session_id, second.created) == (session_id, created)


async def test_a_taken_id_is_already_exists(shared: Service) -> None:
    """If a session must be created, a taken id is refused, whatever the taken session's owner and status.

    The session that has the id does not change.
    """
    user = fresh_id()
    ended = await create(shared, fresh_id(), user_id=user, status=COMPLETED)
    for user_id in (user, fresh_id()):
        with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
            await ensure(shared, user_id, ended.session_id)
    assert await get(shared, ended.session_id) == ended
    found = await create(shared, fresh_id(), user_id=user)
    assert (await ensure(shared, user, ended.session_id)).session == found


@pytest.mark.parametrize("user_id", ["", "u" * 257, "\0"])
async def test_a_user_is_needed(shared: Service, user_id: str) -> None:
    """Both calls need a valid user_id."""
    for ask in (active, ensure):
        with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
            await ask(shared, user_id)
        assert list(failure.violations) == ["user_id"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("new_session.status", {"new_session": {"status": COMPLETED}}),
        ("new_session.state", {"new_session": {"state": "[]"}}),
        ("new_session_id", {"new_session_id": "a b"}),
    ],
)
async def test_what_is_refused(shared: Service, path: str, fields: dict[str, Any]) -> None:
    """A session that could not be active is refused, even if the user has an active session already."""
    user = fresh_id()
    for _ in range(2):
        with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
            await ensure(shared, user, **fields)
        assert list(failure.violations) == [path]
        await create(shared, fresh_id(), user)


async def test_a_server_that_requires_users(
    serve: Callable[..., Awaitable[Service]], database_url: str
) -> None:
    """A server that requires a user takes the user_id from the request."""
    service = await serve(database_url, require_user_id=True)
    assert (await ensure(service, "u")).created


def _ensuring(user_id: str = "u") -> tuple[str, Any]:
    return "EnsureActiveSession", pb.EnsureActiveSessionRequest(user_id=user_id)


async def test_calls_at_the_same_time_make_one_session(service: Service, stubs: list[Any]) -> None:
    """Concurrent calls create one session for each user, also beside creations and appends."""
    users = [f"u{number}" for number in range(5)]
    calls = [_ensuring(user) for user in users * 16]
    answers = await race(stubs, calls)
    for number, user in enumerate(users):
        mine = answers[number :: len(users)]
        assert sum(answer.created for answer in mine) == 1
        assert {answer.session.session_id for answer in mine} == {mine[0].session.session_id}
        assert len((await call(service, "ListSessions", "", user)).sessions) == 1


async def test_sessions_that_end_while_they_are_asked_for(service: Service, stubs: list[Any]) -> None:
    """After each end one session is created; a user never has two active sessions."""
    for round_ in range(8):
        current = (await ensure(service, "u")).session
        changed = spb.SessionFields(status=COMPLETED)
        ending = ("UpdateSession", request("UpdateSession", current.session_id, session=changed))
        if round_ % 2:
            ending = ("DeleteSession", request("DeleteSession", current.session_id, purge=round_ % 4 == 3))
        calls = [_ensuring() for _ in range(16)]
        calls.insert(2 * round_, ending)
        answers = await race(stubs, calls)
        assert not [answer for answer in answers if isinstance(answer, str)]
        del answers[2 * round_]
        others = {answer.session.session_id for answer in answers} - {current.session_id}
        assert sum(answer.created for answer in answers) == len(others) <= 1
        open_ = await call(service, "ListSessions", "", "u", statuses=[ACTIVE])
        assert {session.session_id for session in open_.sessions} == others


async def test_a_users_list_has_the_ended_between_the_active(service: Service) -> None:
    """A user's list by activity mixes ended and active sessions, in both orders and any page size."""
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
