"""An append with a patch of the state: both in one commit, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import append, call, create, fresh_id, get, said, stored, update

from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

pytestmark = pytest.mark.pooled

METHODS = ("AppendMessage", "AppendMessages")
KIB = 1024


def _asked(method: str, *messages: Any) -> dict[str, Any]:
    return {"message": messages[0]} if method == "AppendMessage" else {"messages": messages}


@pytest.mark.parametrize("method", METHODS)
async def test_a_message_and_its_state(shared: Service, method: str) -> None:
    """The patch is applied with the message, and the answer has the new version.

    Etag and update_time change.
    """
    session_id = fresh_id()
    before = await create(shared, session_id, state='{"step" : "ask", "n": 1.0}')
    answer = await call(shared, method, session_id, **_asked(method, said()), state_patch='{"step":"pay"}')
    assert (answer.state_version, answer.last_sequence, answer.session_created) == (1, 1, False)
    after = await get(shared, session_id)
    assert (after.state, after.state_version) == ('{"step" : "pay", "n": 1.0}', 1)
    assert (after.message_count, after.title) == (1, "hello")
    assert after.etag != before.etag
    assert after.update_time == after.last_activity_time


@pytest.mark.parametrize("method", METHODS)
async def test_an_append_without_a_patch_says_nothing_of_the_state(shared: Service, method: str) -> None:
    """An append without a patch returns no version, and keeps state and etag."""
    before = await create(shared, fresh_id(), state='{"a":1}')
    answer = await call(shared, method, before.session_id, **_asked(method, said()))
    assert not answer.HasField("state_version")
    after = await get(shared, before.session_id)
    assert (after.state, after.state_version, after.etag) == (before.state, 0, before.etag)


@pytest.mark.parametrize("method", METHODS)
async def test_a_retry_does_not_patch_again(shared: Service, method: str) -> None:
    """A retry returns the stored message and the present version, and does not patch again."""
    session_id = fresh_id()
    await create(shared, session_id)
    asked = _asked(method, said(message_id="m")) | {"state_patch": '{"a":1}', "expected_state_version": 0}
    first = await call(shared, method, session_id, **asked)
    await call(shared, "UpdateState", session_id, patch='{"a":2}')
    await update(shared, session_id, status=spb.SESSION_STATUS_COMPLETED)
    again = await call(shared, method, session_id, **asked)
    assert (first.state_version, again.state_version) == (1, 2)
    first.state_version = 2
    assert again == first
    session = await get(shared, session_id)
    assert (session.state, session.state_version, session.message_count) == ('{"a":2}', 2, 1)


async def test_a_retry_without_its_patch_is_a_retry(shared: Service) -> None:
    """The patch is not part of the message: with or without it, the same message is a retry."""
    session_id, message = fresh_id(), said(message_id="m")
    await create(shared, session_id)
    await append(shared, session_id, message)
    answer = await append(shared, session_id, message, state_patch='{"a":1}')
    assert (answer.last_sequence, answer.state_version) == (1, 0)
    assert (await get(shared, session_id)).state == ""


@pytest.mark.parametrize("method", METHODS)
async def test_a_patch_of_a_session_that_the_append_makes(shared: Service, method: str) -> None:
    """The state of a new session is new_session's state after the patch: version 1."""
    for given, expected in (('{"a":1,"b":2}', '{"a":1,"b":3}'), ("", '{"b":3}')):
        session_id, new_session = fresh_id(), spb.SessionFields(state=given, title="t")
        asked = _asked(method, said()) | {"new_session": new_session, "state_patch": '{"b":3}'}
        answer = await call(shared, method, session_id, **asked, expected_state_version=0)
        assert (answer.session_created, answer.state_version) == (True, 1)
        session = await get(shared, session_id)
        assert (session.state, session.state_version, session.title) == (expected, 1, "t")
        answer = await call(shared, method, session_id, **asked, expected_state_version=1)
        assert (answer.session_created, answer.state_version, answer.last_sequence) == (False, 2, 2)


@pytest.mark.parametrize("method", METHODS)
async def test_an_expected_version_guards_an_append(shared: Service, method: str) -> None:
    """With the present version the message is stored, with or without a patch; with another nothing is."""
    session_id = fresh_id()
    await create(shared, session_id)
    for fields in ({}, {"state_patch": '{"a":1}'}):
        with fails("ABORTED", "STATE_VERSION_MISMATCH") as failure:
            await call(shared, method, session_id, expected_state_version=1, **fields)
        assert failure.metadata == {"session_id": session_id, "actual_state_version": "0"}
    assert await stored(shared, session_id) == []
    answer = await call(shared, method, session_id, expected_state_version=0)
    assert (answer.state_version, answer.last_sequence) == (0, 1)
    assert (await get(shared, session_id)).state_version == 0


@pytest.mark.parametrize("method", METHODS)
async def test_a_wrong_version_makes_no_session(shared: Service, method: str) -> None:
    """A session to be created has version 0; if another version is expected, it is not created."""
    session_id = fresh_id()
    with fails("ABORTED", "STATE_VERSION_MISMATCH"):
        await call(shared, method, session_id, new_session=spb.SessionFields(), expected_state_version=1)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await get(shared, session_id)


REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "an id that is stored": (
        "ALREADY_EXISTS",
        "MESSAGE_ID_REUSED",
        {"messages": [said(), said(message_id="m")]},
    ),
    "another sequence": ("ABORTED", "SEQUENCE_MISMATCH", {"expected_last_sequence": 5}),
    "too many pins": ("FAILED_PRECONDITION", "TOO_MANY_PINNED", {"messages": [said(pinned=True)] * 65}),
    "another version": ("ABORTED", "STATE_VERSION_MISMATCH", {"expected_state_version": 5}),
    "a state too large": (
        "FAILED_PRECONDITION",
        "STATE_TOO_LARGE",
        {"state_patch": '{"b":"%s"}' % ("x" * (256 * KIB - 8))},
    ),
    "another user": ("NOT_FOUND", "SESSION_NOT_FOUND", {"user_id": "v"}),
}


@pytest.mark.parametrize("why", REFUSED)
async def test_of_a_refused_batch_nothing_is_kept(shared: Service, why: str) -> None:
    """A refused batch stores no message and applies no patch."""
    code, reason, fields = REFUSED[why]
    session_id = fresh_id()
    new_session = spb.SessionFields(state='{"a":1}')
    await append(shared, session_id, said(message_id="m"), user_id="u", new_session=new_session)
    before = await get(shared, session_id)
    with fails(code, reason):
        await call(shared, "AppendMessages", session_id, **{"state_patch": '{"a":2}'} | fields)
    assert await get(shared, session_id) == before


@pytest.mark.parametrize("method", METHODS)
async def test_a_finished_session_takes_no_patch_with_a_message(shared: Service, method: str) -> None:
    """A finished session refuses the message, and with it the patch."""
    session_id = fresh_id()
    await create(shared, session_id)
    before = await update(shared, session_id, status=spb.SESSION_STATUS_ABANDONED)
    with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"):
        await call(shared, method, session_id, state_patch='{"a":1}')
    assert await get(shared, session_id) == before


async def test_the_window_comes_with_the_state(shared: Service) -> None:
    """One call stores the message, patches the state and returns the window."""
    session_id = fresh_id()
    answer = await call(
        shared,
        "AppendMessage",
        session_id,
        new_session=spb.SessionFields(),
        state_patch='{"a":1}',
        history={"max_messages": 5},
    )
    assert (answer.state_version, len(answer.history.messages)) == (1, 1)


async def test_without_coalescing(serve: Callable[..., Awaitable[Service]], database_url: str) -> None:
    """Without shared statements the result is the same."""
    service = await serve(database_url, coalesce=False)
    answer = await call(service, "AppendMessage", "s", new_session=spb.SessionFields(), state_patch='{"a":1}')
    assert (answer.state_version, (await get(service)).state) == (1, '{"a":1}')


async def test_messages_in_the_place_of_others_and_their_state(shared: Service) -> None:
    """Messages are replaced and the state is patched in one commit, once; a refusal changes nothing."""
    session_id = fresh_id()
    await append(shared, session_id, said(), said(), new_session=spb.SessionFields(state='{"a":1}'))
    asked = {"keep_through_sequence": 1, "state_patch": '{"a":2}'}
    before = await get(shared, session_id)
    with fails("ABORTED", "STATE_VERSION_MISMATCH"):
        await append(shared, session_id, said(), **asked, expected_state_version=1)
    assert await get(shared, session_id) == before
    assert len(await stored(shared, session_id)) == 2
    answers = [await append(shared, session_id, said(message_id="m"), **asked) for _ in range(2)]
    assert answers[0] == answers[1]
    assert (answers[0].state_version, answers[0].message_count, answers[0].last_sequence) == (1, 2, 3)
    assert (await get(shared, session_id)).state == '{"a":2}'
    made = await append(
        shared, fresh_id(), said(), new_session=spb.SessionFields(), keep_through_sequence=0, state_patch="{}"
    )
    assert (made.session_created, made.state_version) == (True, 1)
