"""The ids that deleted and expired sessions hold, and the errors that callers get for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from deletion_support import LIVE_ONLY, end_session, talk
from google.protobuf.timestamp_pb2 import Timestamp
from rpc_support import append, call, said
from stream_support import finish, header, stream, text

from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.errors import Failure
    from support.service import Service


@pytest.mark.parametrize("end", ["deleted", "expired"])
async def test_the_id_of_what_has_ended_is_taken(service: Service, database_url: str, end: str) -> None:
    """The id of an ended session stays taken until the purge, with and without allow_existing."""
    await talk(service)
    await end_session(service, database_url, end)
    for allow_existing in (False, True):
        with fails("ALREADY_EXISTS", "SESSION_EXISTS"):
            await call(service, "CreateSession", "s", allow_existing=allow_existing)


_NEW = {"new_session": spb.SessionFields()}
_STATE = {"state_patch": "{}"}
_HELD = {"new_session_id": "s"}

# Each call would create the session "s": its method, the session that it names, its fields.
MAKERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "create": ("CreateSession", "s", {}),
    "create, existing": ("CreateSession", "s", {"allow_existing": True}),
    "append": ("AppendMessage", "s", _NEW),
    "append, state": ("AppendMessage", "s", _NEW | _STATE),
    "batch": ("AppendMessages", "s", _NEW),
    "batch, again": ("AppendMessages", "s", _NEW | {"messages": [said(message_id="m")]}),
    "replace": ("AppendMessages", "s", _NEW | {"keep_through_sequence": 0}),
    "replace, state": ("AppendMessages", "s", _NEW | _STATE | {"keep_through_sequence": 0}),
    "stream": ("AppendMessageStream", "s", _NEW),
    "fork": ("ForkSession", "other", _HELD),
    "fork, existing": ("ForkSession", "other", _HELD | {"allow_existing": True}),
    "reset": ("ResetSession", "other", _HELD),
}


async def _make(service: Service, maker: str, user_id: str) -> None:
    """Try to create the session "s"; "other" is a session of the same user."""
    method, session_id, fields = MAKERS[maker]
    if method == "AppendMessageStream":
        await stream(service, header(user_id=user_id, **fields), text("a"), finish())
    else:
        await call(
            service, method, f"{session_id}{user_id}" if session_id == "other" else "s", user_id, **fields
        )


@pytest.mark.parametrize("end", ["deleted", "expired"])
@pytest.mark.parametrize("maker", MAKERS)
async def test_who_holds_an_id_is_told_until_when(
    service: Service, database_url: str, end: str, maker: str
) -> None:
    """A call to create an ended session tells its owner the purge_time, and another user nothing."""
    await talk(service, user_id="u")
    for user_id in ("u", "v"):
        fields = {"user_id": user_id, "new_session": spb.SessionFields()}
        await append(service, f"other{user_id}", said(), **fields)
    await end_session(service, database_url, end)
    listed = (await call(service, "ListSessions", "", "u", show_deleted=True)).sessions
    (ended,) = (session for session in listed if session.session_id == "s")
    code = "NOT_FOUND" if maker.startswith(("append", "batch", "replace", "stream")) else "ALREADY_EXISTS"
    reason = "SESSION_NOT_FOUND" if code == "NOT_FOUND" else "SESSION_EXISTS"
    with fails(code, reason) as failure:
        await _make(service, maker, "u")
    assert _purge_time(failure) == ended.purge_time
    assert failure.metadata["purge_time"] in failure.message
    assert failure.metadata.keys() == {"session_id", "purge_time"}
    with fails(code, reason) as failure:
        await _make(service, maker, "v")
    assert failure.metadata == {"session_id": "s"}
    assert failure.message in ("no session 's'", "the session id 's' is taken")


async def test_who_holds_an_id_beyond_its_time_is_told(
    serve: Callable[..., Awaitable[Service]], database_url: str
) -> None:
    """After its purge_time a session holds its id until it is removed, and cannot be restored."""
    service = await serve(database_url, delete_retention_days=0)
    await talk(service, user_id="u")
    deleted = (await call(service, "DeleteSession", "s")).session
    with fails("ALREADY_EXISTS", "SESSION_EXISTS") as failure:
        await call(service, "CreateSession", "s", "u")
    assert "about to be removed; purge it, or use another id" in failure.message
    assert _purge_time(failure) == deleted.purge_time
    await call(service, "DeleteSession", "s", purge=True)
    assert (await call(service, "CreateSession", "s", "u")).created


async def test_the_active_session_under_an_id_that_is_held(service: Service) -> None:
    """EnsureActiveSession tells the purge_time to the id's owner only."""
    await talk(service, user_id="u")
    deleted = (await call(service, "DeleteSession", "s")).session
    with fails("ALREADY_EXISTS", "SESSION_EXISTS") as failure:
        await call(service, "EnsureActiveSession", "s", "u")
    assert _purge_time(failure) == deleted.purge_time
    with fails("ALREADY_EXISTS", "SESSION_EXISTS") as failure:
        await call(service, "EnsureActiveSession", "s", "v")
    assert failure.metadata == {"session_id": "s"}


async def test_reads_and_plain_appends_do_not_tell(service: Service) -> None:
    """Without new_session an ended session's id is NOT_FOUND, as an unused id is."""
    await talk(service, user_id="u")
    await call(service, "DeleteSession", "s")
    for method in LIVE_ONLY:
        with fails("NOT_FOUND", "SESSION_NOT_FOUND") as failure:
            await call(service, method, "s", "u")
        assert (failure.message, failure.metadata) == ("no session 's'", {"session_id": "s"})


async def test_the_id_of_a_live_session_is_taken_without_an_end(service: Service) -> None:
    """The id of a live session is taken without an end, even if the session will expire.

    Its expiry can be moved.
    """
    await talk(service, user_id="u", ttl={"seconds": 3_600})
    with fails("ALREADY_EXISTS", "SESSION_EXISTS") as failure:
        await call(service, "CreateSession", "s", "u")
    assert (failure.message, failure.metadata) == ("the session id 's' is taken", {"session_id": "s"})


def _purge_time(failure: Failure) -> Timestamp:
    time = Timestamp()
    time.FromJsonString(failure.metadata["purge_time"])
    return time
