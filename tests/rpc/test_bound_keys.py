"""A key has its tenant, and may be bound to a user or to an application: all others are as if missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import METHODS, NAMING, append, call, create, fresh_id, get, said

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.call_streams import OpenCalls, reason_of
from support.errors import fails
from support.keys import holder, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.service import Service

_CREATING = tuple(name for name in METHODS if name not in NAMING and name.startswith(("Create", "Ensure")))

# The owner's key, and another key, which must not find the owner's sessions.
_STRANGERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tenant": ({"tenant": "ada"}, {"tenant": "eve"}),
    "user": ({"user_id": "ada"}, {"user_id": "eve"}),
    "application": ({"application_id": "ada"}, {"application_id": "eve"}),
    "bound to an application, and the session has none": ({}, {"application_id": "eve"}),
    "bound to a user, and the session has none": ({}, {"user_id": "eve"}),
    "user of another tenant": ({"tenant": "t", "user_id": "ada"}, {"tenant": "u", "user_id": "ada"}),
}


async def _a_session(owner: Service, method: str) -> str:
    """Return the id of a session on which a method works: deleted for UndeleteSession."""
    session_id = fresh_id()
    await append(owner, session_id, said(), new_session=spb.SessionFields())
    if method == "UndeleteSession":
        await call(owner, "DeleteSession", session_id)
    return session_id


@pytest.mark.parametrize("method", NAMING)
@pytest.mark.parametrize("case", _STRANGERS)
async def test_a_strangers_session_is_as_if_missing(guarded: Service, method: str, case: str) -> None:
    """Code, message and details are those of an id that no session has, and the session does not change."""
    mine, other = _STRANGERS[case]
    owner, stranger = await holder(guarded, **mine), await holder(guarded, **other)
    session_id, missing = await _a_session(owner, method), fresh_id()
    before = await call(owner, "ListSessions", "", show_deleted=True)
    theirs = await refused(call(stranger, method, session_id))
    nobodys = await refused(call(stranger, method, missing))
    assert theirs.reason == "SESSION_NOT_FOUND"
    assert repr(theirs).replace(session_id, missing) == repr(nobodys)
    assert await call(owner, "ListSessions", "", show_deleted=True) == before


@pytest.mark.parametrize("method", NAMING)
@pytest.mark.parametrize("mine", [{"user_id": "ada"}, {"application_id": "ada"}, {"tenant": "ada"}])
async def test_the_owners_key_works(guarded: Service, method: str, mine: dict[str, Any]) -> None:
    """A bound key needs no user_id in its requests."""
    owner = await holder(guarded, **mine)
    await call(owner, method, await _a_session(owner, method))


@pytest.mark.parametrize("case", _STRANGERS)
async def test_a_list_shows_no_strangers_sessions(guarded: Service, case: str) -> None:
    """Neither the list nor the active session."""
    mine, other = _STRANGERS[case]
    owner, stranger = await holder(guarded, **mine), await holder(guarded, **other)
    user_id = mine.get("user_id", fresh_id())
    await create(owner, session_id := fresh_id(), user_id=user_id)
    listed = (await call(stranger, "ListSessions", "", show_deleted=True)).sessions
    assert session_id not in {session.session_id for session in listed}
    assert session_id in {each.session_id for each in (await call(owner, "ListSessions", "")).sessions}
    asked = other.get("user_id", user_id)
    if asked == user_id:
        active = await refused(call(stranger, "GetActiveSession", "", asked))
        assert active.reason == "SESSION_NOT_FOUND"


async def test_two_tenants_use_the_same_session_id(guarded: Service) -> None:
    """Creating a session shows nothing of another tenant's session with the id."""
    session_id = fresh_id()
    for tenant in ("ada", "eve"):
        owner = await holder(guarded, tenant=tenant)
        await create(owner, session_id, title=tenant)
        assert (await get(owner, session_id)).title == tenant


@pytest.mark.parametrize("mine", [{"user_id": "ada"}, {"application_id": "ada"}])
async def test_a_strangers_id_is_taken_without_an_explanation(guarded: Service, mine: dict[str, Any]) -> None:
    """Also of a deleted session: its purge time is its owner's."""
    owner = await holder(guarded, **mine)
    stranger = await holder(guarded, **dict.fromkeys(mine, "eve"))
    await create(owner, session_id := fresh_id())
    await call(owner, "DeleteSession", session_id)
    failure = await refused(call(stranger, "CreateSession", session_id, allow_existing=True))
    assert (failure.reason, failure.metadata) == ("SESSION_EXISTS", {"session_id": session_id})


def _naming_a_user() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each unary RPC with the fields by which it names a user."""
    for name in METHODS:
        for field in getattr(pb, f"{name}Request").DESCRIPTOR.fields:
            if field.name.endswith("user_id"):
                yield name, {field.name: "eve"}


@pytest.mark.parametrize(("method", "fields"), list(_naming_a_user()))
async def test_a_bound_key_acts_for_no_other_user(
    guarded: Service, method: str, fields: dict[str, Any]
) -> None:
    """Another user in any field is PERMISSION_DENIED, USER_MISMATCH; its own user is allowed."""
    ada = await holder(guarded, user_id="ada")
    session_id = await _a_session(ada, method)
    with fails("PERMISSION_DENIED", "USER_MISMATCH"):
        await call(ada, method, session_id, **fields)
    await call(ada, method, session_id, **dict.fromkeys(fields, "ada"), **_allowing(method))


def _allowing(method: str) -> dict[str, Any]:
    return {"allow_existing": True} if method == "CreateSession" else {}


async def test_a_bound_key_owns_all_that_it_creates(guarded: Service) -> None:
    """A session's user and application are those of the key."""
    bound = await holder(guarded, user_id="ada", application_id="app")
    made = [await create(bound, fresh_id())]
    made.append((await call(bound, "EnsureActiveSession", fresh_id())).session)
    await append(bound, session_id := fresh_id(), said(), new_session=spb.SessionFields())
    made.append(await get(bound, session_id))
    made.append((await call(bound, "ForkSession", session_id)).session)
    made.append((await call(bound, "ResetSession", session_id)).session)
    assert {(session.user_id, session.application_id) for session in made} == {("ada", "app")}


@pytest.mark.parametrize("method", ["CreateSession", "EnsureActiveSession", "AppendMessages", "ForkSession"])
async def test_a_bound_key_uses_no_other_application(guarded: Service, method: str) -> None:
    """A new session of another application, and a list of its sessions, are APPLICATION_MISMATCH."""
    bound = await holder(guarded, application_id="app")
    session_id = fresh_id() if method in _CREATING else await _a_session(bound, method)
    field = "session" if method == "CreateSession" else "new_session"
    user_id = "ada" if method == "EnsureActiveSession" else ""
    with fails("PERMISSION_DENIED", "APPLICATION_MISMATCH"):
        await call(bound, method, session_id, user_id, **{field: {"application_id": "other"}})
    await call(bound, method, session_id, user_id, **{field: {"application_id": "app"}} | _allowing(method))
    for method_of_list in ("ListSessions", "GetActiveSession"):
        with fails("PERMISSION_DENIED", "APPLICATION_MISMATCH"):
            await call(bound, method_of_list, "", "ada", application_id="other")


@pytest.mark.parametrize("header", [None, {}, {"unordered": True}])
async def test_the_calls_of_a_stream_are_bound(guarded: Service, header: dict[str, Any] | None) -> None:
    """A call for another user fails alone, and a call without a user is for the key's user."""
    ada = await holder(guarded, user_id="ada")
    await append(ada, session_id := fresh_id(), said(), new_session=spb.SessionFields())
    stream = OpenCalls(ada.stub, header)
    for kind in ("get_history", "get_session", "append_message"):
        fields = {"message": {"role": 1}} if kind == "append_message" else {}
        named = [{kind: {"session_id": session_id, "user_id": each} | fields} for each in ("", "ada", "eve")]
        *good, bad = await stream.make(*named)
        assert not any(outcome.HasField("error") for outcome in good)
        assert reason_of(bad) == ("PERMISSION_DENIED", "USER_MISMATCH")


def _stream(session_id: str, user_id: str = "") -> list[stream_pb.AppendMessageStreamRequest]:
    header: dict[str, Any] = {
        "session_id": session_id,
        "user_id": user_id,
        "message": {"role": 3},
        "new_session": {},
    }
    pieces: list[dict[str, Any]] = [{"header": header}, {"delta": {"text": "hello"}}, {"finish": {}}]
    return [stream_pb.AppendMessageStreamRequest(**piece) for piece in pieces]


async def test_a_streamed_message_is_bound(guarded: Service) -> None:
    """The header may name the key's own user, or none."""
    ada = await holder(guarded, user_id="ada", application_id="app")
    session_id = fresh_id()
    with fails("PERMISSION_DENIED", "USER_MISMATCH"):
        await ada.stub.AppendMessageStream(iter(_stream(session_id, "eve")))
    for user_id in ("", "ada"):
        await ada.stub.AppendMessageStream(iter(_stream(session_id, user_id)))
    session = await get(ada, session_id)
    assert (session.user_id, session.application_id, session.message_count) == ("ada", "app", 2)


@pytest.mark.parametrize("method", METHODS)
async def test_a_key_may_require_a_user(guarded: Service, method: str) -> None:
    """Each RPC that can name a user must; a key that is bound to one names it by itself."""
    named = await holder(guarded, require_user_id=True)
    failure = await refused(call(named, method, fresh_id()))
    assert (failure.reason, "user_id" in failure.violations) == ("INVALID_FIELD", True)
    bound = await holder(guarded, require_user_id=True, user_id="ada")
    await call(bound, method, await _a_session(bound, method), **_allowing(method))
