"""No caller sees another user's session: every method as the owner, as another user, without a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from rpc_support import METHODS, NAMING, append, call, create, fresh_id, get, said

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

pytestmark = pytest.mark.pooled

MAKING = ("AppendMessage", "AppendMessages")


async def _a_session(service: Service, method: str, owner: str) -> str:
    """Return the id of a session on which a method works: deleted for UndeleteSession."""
    session_id = fresh_id()
    await append(service, session_id, said(), user_id=owner, new_session=spb.SessionFields())
    if method == "UndeleteSession":
        await call(service, "DeleteSession", session_id)
    return session_id


@pytest.mark.parametrize("method", NAMING)
@pytest.mark.parametrize(("owner", "caller"), [("u", "u"), ("u", ""), ("", "")])
async def test_a_session_is_its_users(shared: Service, method: str, owner: str, caller: str) -> None:
    """The owner and a caller without a user_id may call every method."""
    await call(shared, method, await _a_session(shared, method, owner), caller)


@pytest.mark.parametrize("method", NAMING)
@pytest.mark.parametrize(("owner", "caller"), [("u", "v"), ("u", "U"), ("u", "u "), ("", "v")])
async def test_a_session_is_nobody_elses(shared: Service, method: str, owner: str, caller: str) -> None:
    """Another user's session or an ownerless one is NOT_FOUND for a user, and does not change."""
    session_id = await _a_session(shared, method, owner)
    listed = await call(shared, "ListSessions", "", show_deleted=True)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND") as theirs:
        await call(shared, method, session_id, caller)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND") as missing:
        await call(shared, method, "missing", caller)
    assert theirs.message == missing.message.replace("missing", session_id)
    assert await call(shared, "ListSessions", "", show_deleted=True) == listed


@pytest.mark.parametrize(("owner", "caller"), [("u", "v"), ("", "v")])
async def test_the_flags_of_a_deletion_open_nothing(shared: Service, owner: str, caller: str) -> None:
    """allow_missing and purge neither delete another user's session nor show that it exists."""
    session_id = await _a_session(shared, "DeleteSession", owner)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(shared, "DeleteSession", session_id, caller, purge=True)
    for purge in (False, True):
        answer = await call(shared, "DeleteSession", session_id, caller, purge=purge, allow_missing=True)
        assert answer == pb.DeleteSessionResponse()
    assert (await get(shared, session_id)).message_count == 1


async def test_a_list_is_the_users_own(service: Service) -> None:
    """With a user_id ListSessions returns that user's sessions, without one all sessions."""
    for session_id, owner in (("a", "u"), ("b", "v"), ("c", "")):
        await create(service, session_id, user_id=owner)
    for caller, expected in (("u", {"a"}), ("v", {"b"}), ("w", set()), ("", {"a", "b", "c"})):
        listed = await call(service, "ListSessions", "", caller)
        assert {session.session_id for session in listed.sessions} == expected


@pytest.mark.parametrize(("owner", "caller"), [("u", "v"), ("", "v"), ("u", "u"), ("u", "")])
async def test_an_id_is_taken_whoever_has_it(shared: Service, owner: str, caller: str) -> None:
    """CreateSession with a taken id is ALREADY_EXISTS; allow_existing helps only the session's user."""
    session_id = await _a_session(shared, "CreateSession", owner)
    with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
        await call(shared, "CreateSession", session_id, caller)
    if caller not in ("", owner):
        with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
            await call(shared, "CreateSession", session_id, caller, allow_existing=True)
    else:
        found = await call(shared, "CreateSession", session_id, caller, allow_existing=True)
        assert (found.session.user_id, found.session.message_count, found.created) == (owner, 1, False)


async def test_an_existing_session_is_returned_as_it_is(shared: Service) -> None:
    """With allow_existing nothing of the request's session is stored."""
    first = await create(shared, fresh_id(), user_id="u", title="first", labels={"a": "1"})
    other = spb.SessionFields(title="second", state="{}")
    found = await call(shared, "CreateSession", first.session_id, "u", session=other, allow_existing=True)
    assert found == pb.CreateSessionResponse(session=first, created=False)


@pytest.mark.parametrize("gone", ["deleted", "purged"])
async def test_allow_existing_returns_nothing_deleted(shared: Service, gone: str) -> None:
    """With allow_existing too the id of a deleted session is taken; that of a purged one is free."""
    session_id = await _a_session(shared, "CreateSession", "u")
    await call(shared, "DeleteSession", session_id, purge=gone == "purged")
    if gone == "purged":
        assert (await call(shared, "CreateSession", session_id, "v", allow_existing=True)).created
    else:
        with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
            await call(shared, "CreateSession", session_id, "u", allow_existing=True)


@pytest.mark.parametrize("method", MAKING)
@pytest.mark.parametrize("caller", ["u", ""])
async def test_a_made_session_is_the_callers(shared: Service, method: str, caller: str) -> None:
    """The owner of a new session is the user that the request names."""
    session_id, new_session = fresh_id(), spb.SessionFields()
    assert (await call(shared, method, session_id, caller, new_session=new_session)).session_created
    assert (await get(shared, session_id)).user_id == caller
    again = await call(shared, method, session_id, caller, new_session=new_session)
    assert (again.session_created, again.message_count) == (False, 2)


@pytest.mark.parametrize("method", MAKING)
async def test_an_append_makes_nothing_of_anothers_id(shared: Service, method: str) -> None:
    """An append with new_session to another user's session is NOT_FOUND, and stores nothing."""
    session_id = await _a_session(shared, method, "u")
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(shared, method, session_id, "v", new_session=spb.SessionFields())
    assert (await get(shared, session_id)).message_count == 1


async def test_ids_are_in_one_place() -> None:
    """SessionFields has neither the session's id nor its owner, so that no request can name them twice."""
    assert {"session_id", "user_id"}.isdisjoint(spb.SessionFields.DESCRIPTOR.fields_by_name)


async def test_the_owner_never_changes(shared: Service) -> None:
    """UpdateSession checks the request's user_id, and never changes the owner."""
    session_id = await _a_session(shared, "UpdateSession", "u")
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(shared, "UpdateSession", session_id, "v")
    for mask in (None, {"paths": ["*"]}):
        updated = await call(shared, "UpdateSession", session_id, "u", update_mask=mask)
        assert (updated.session.user_id, updated.session.title) == ("u", "changed")


@pytest_asyncio.fixture
async def strict(serve: Callable[..., Awaitable[Service]], database_url: str) -> Service:
    """A service that requires a user_id."""
    return await serve(database_url, require_user_id=True)


async def test_a_server_can_require_the_user(strict: Service) -> None:
    """With require_user_id each method is INVALID_ARGUMENT without a user_id, and works with one."""
    for method in METHODS:
        with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
            await call(strict, method, "s")
        assert list(failure.violations) == ["user_id"]
    await call(strict, "CreateSession", "s", "u")
    await call(strict, "AppendMessage", "s", "u")
    for method in METHODS:
        if method != "CreateSession":  # DeleteSession comes before UndeleteSession
            await call(strict, method, "s", "u")


@pytest.mark.parametrize("method", MAKING)
async def test_a_new_session_needs_the_required_user(strict: Service, method: str) -> None:
    """With require_user_id an append that creates a session needs a user_id too."""
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await call(strict, method, "s", new_session=spb.SessionFields())
    assert list(failure.violations) == ["user_id"]
