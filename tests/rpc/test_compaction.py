"""CompactHistory: the stored summary, the expectations, and the refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import append, call, get, request, said, stored, summaries, update, without

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails
from support.talk import calls, compact, pinned, sequences, store, user, window

if TYPE_CHECKING:
    from support.service import Service

FULL = mpb.Message(
    message_id="s:1",
    role=mpb.ROLE_DEVELOPER,
    name="näme",
    content="Zürich 日本語 👩‍👩‍👧\r\n",
    tool_call_id="c",
    parts=[{"text": ""}, {"media": {"data": b"\0\xff"}}, {"json": " {}"}, {"reasoning": {"opaque": "AbC="}}],
    payload=bytes(range(256)),
    payload_type="application/x",
    metadata=' { "a" : 1 , "a" : 1.0 } ',
    model="model",
    provider="provider",
    finish_reason="stop",
    usage={"input_tokens": 1, "output_tokens": 2, "cache_read_tokens": 0, "cache_write_tokens": 4},
    token_count=7,
    status=mpb.MESSAGE_STATUS_INTERRUPTED,
    turn_id="t",
    send_time={"seconds": 1_700_000_000, "nanos": 123_456_789},
)


async def test_what_went_in_comes_out(service: Service) -> None:
    """The answer and the window have every field of the summary, as of any message."""
    await store(service, user(1), user(1))
    response = await service.stub.CompactHistory(
        pb.CompactHistoryRequest(session_id="s", through_sequence=1, message=FULL)
    )
    assert without(response.message) == FULL
    assert (response.message.sequence, response.summary.through_sequence) == (1, 1)
    read = await window(service)
    assert (read.messages[0], read.summary) == (response.message, response.summary)


async def test_what_is_missing_is_added(service: Service) -> None:
    """The server adds an id, the role SYSTEM and the token count where the request has none."""
    await store(service, user(1))
    message = (await compact(service, 1, None, "twelve chars")).message
    assert (message.role, message.token_count, len(message.message_id)) == (mpb.ROLE_SYSTEM, 3, 32)
    assert (message.status, message.pinned) == (mpb.MESSAGE_STATUS_COMPLETE, False)


async def test_the_messages_stay(service: Service) -> None:
    """Covered messages are still listed and found, and the session's counters do not change."""
    await store(service, user(5, message_id="m1"), pinned(5), user(5))
    before, messages = await get(service), await stored(service)
    summary = await compact(service, 3, message={"message_id": "m9"})
    assert await stored(service) == messages
    assert (await call(service, "GetMessage", "s", message_id="m1")).message == messages[0]
    with fails("NOT_FOUND", "MESSAGE_NOT_FOUND"):
        await call(service, "GetMessage", "s", message_id=summary.message.message_id)
    before.compacted_through_sequence = 3
    assert await get(service) == before
    listed = await call(service, "ListSessions", "")
    assert [session.compacted_through_sequence for session in listed.sessions] == [3]


async def test_a_compacted_session_is_compacted_again(service: Service) -> None:
    """A second summary covers the messages of the first one and those after it."""
    await store(service, *(user(10) for _ in range(4)))
    await compact(service, 2, content="two")
    await store(service, pinned(1), user(10), user(10))
    again = await compact(service, 6, content="all but one", expected_compacted_through_sequence=2)
    assert (again.summary.message_count, again.summary.total_tokens) == (5, 50)
    read = await window(service)
    assert (sequences(read), read.summary) == ([5, 6, 7], again.summary)
    assert (await get(service)).compacted_through_sequence == 6


async def test_an_older_summary_changes_nothing_newer(service: Service, database_url: str) -> None:
    """The session is the same after two compactions, in whichever order they come."""
    await store(service, *(user(10) for _ in range(6)))
    newer = await compact(service, 4, content="four")
    await compact(service, 2, content="two")
    assert (await window(service)).summary == newer.summary
    assert (await get(service)).compacted_through_sequence == 4
    assert await summaries(database_url) == [(2, "two", 2), (4, "four", 4)]


async def test_the_place_of_a_pinned_message_is_that_before_it(service: Service) -> None:
    """A summary through a pinned message takes the sequence of the last covered message before it."""
    await store(service, user(1), user(2), pinned(4), pinned(8), user(16))
    response = await compact(service, 4)
    assert (response.summary.through_sequence, response.message.sequence) == (2, 2)
    assert (response.summary.message_count, response.summary.total_tokens) == (2, 3)
    assert sequences(await window(service)) == [2, 3, 4, 5]
    assert await compact(service, 4) == await compact(service, 2) == response


@pytest.mark.parametrize("through", [1, 5, 6, 2**63 - 1])
async def test_a_summary_covers_messages_that_are_there(service: Service, through: int) -> None:
    """A summary covers at least one message, and no message that is missing or still to come."""
    await store(service, pinned(1), user(1), user(1), user(1))
    with fails("NOT_FOUND", "MESSAGE_NOT_FOUND"):
        await compact(service, through)
    assert not (await window(service)).HasField("summary")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"through_sequence": 0}, "through_sequence"),
        ({"through_sequence": -1}, "through_sequence"),
        ({"message": None}, "message"),
        ({"message": {"content": ""}}, "message"),
        ({"message": {"content": "a\0b"}}, "message.content"),
        ({"message": {"content": "a", "role": mpb.ROLE_TOOL}}, "message.role"),
        ({"message": {"content": "a", "role": 99}}, "message.role"),
        ({"message": {"content": "a", "pinned": True}}, "message.pinned"),
        ({"message": {"content": "a", "tool_calls": [{"name": "f"}]}}, "message.tool_calls"),
        ({"message": {"content": "a", "token_count": -1}}, "message.token_count"),
        ({"message": {"content": "a", "message_id": "no id"}}, "message.message_id"),
        ({"message": {"content": "a", "metadata": "[]"}}, "message.metadata"),
        ({"message": {"content": "x" * 1024 * 1024}}, "message"),
        ({"expected_last_sequence": -1}, "expected_last_sequence"),
        ({"expected_compacted_through_sequence": -1}, "expected_compacted_through_sequence"),
        ({"session_id": ""}, "session_id"),
        ({"user_id": "u" * 257}, "user_id"),
    ],
)
async def test_what_is_refused(shared: Service, fields: dict[str, Any], path: str) -> None:
    """An invalid request is refused by its field, before anything is looked up."""
    valid: dict[str, Any] = {"session_id": "none", "through_sequence": 1, "message": {"content": "a"}}
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await shared.stub.CompactHistory(pb.CompactHistoryRequest(**valid | fields))
    assert list(failure.violations) == [path]


@pytest.mark.parametrize("kind", [{"parts": [mpb.Part(text="")]}, {"payload": b"\0"}])
async def test_a_summary_may_be_something_else_than_text(service: Service, kind: dict[str, Any]) -> None:
    """A summary may be other than text, for example a model's own format."""
    await store(service, user(1))
    response = await call(service, "CompactHistory", "s", message=mpb.Message(**kind))
    assert {name: getattr(response.message, name) for name in kind} == kind
    assert not response.message.HasField("content")


async def test_the_same_again_is_what_is_stored(service: Service) -> None:
    """The same compaction again returns the stored summary, with an id or without.

    Later appends and the expectations of the request do not matter.
    """
    await store(service, *(user(1) for _ in range(5)))
    expected: dict[str, Any] = {"expected_last_sequence": 5, "expected_compacted_through_sequence": 0}
    first = await compact(service, 2, **expected)
    named = await compact(service, 3, message={"message_id": "s"})
    await store(service, user(1))
    assert await compact(service, 2, **expected) == first
    assert await compact(service, 3, message={"message_id": "s"}) == named
    assert await compact(service, 3) == named
    assert (await window(service)).summary == named.summary


@pytest.mark.parametrize(
    "change",
    [{"content": "others"}, {"message": {"message_id": "t"}}, {"message": {"role": mpb.ROLE_USER}}],
)
async def test_another_summary_replaces_the_one_there(service: Service, change: dict[str, Any]) -> None:
    """Another summary replaces the stored one completely, and covers the same messages."""
    await store(service, user(1), pinned(1), user(1), user(1))
    first = await compact(service, 3, message={"message_id": "s", "name": "n"})
    second = await compact(service, 3, **change, expected_compacted_through_sequence=3)
    assert second.message != first.message
    assert not second.message.name
    assert second.summary.create_time.ToMicroseconds() > first.summary.create_time.ToMicroseconds()
    assert (second.summary.message_count, second.summary.total_tokens) == (2, 2)
    assert (await window(service)).messages[1] == second.message


async def test_what_is_expected(service: Service) -> None:
    """A request can expect the last sequence and the compacted one; the error has the actual values."""
    await store(service, user(1), user(1), user(1))
    with fails("ABORTED", "SEQUENCE_MISMATCH") as failure:
        await compact(service, 2, expected_last_sequence=2)
    assert failure.metadata == {"session_id": "s", "actual_last_sequence": "3"}
    with fails("ABORTED", "COMPACTION_MISMATCH") as failure:
        await compact(service, 2, expected_compacted_through_sequence=1)
    assert failure.metadata == {"session_id": "s", "actual_compacted_through_sequence": "0"}
    await compact(service, 2, expected_last_sequence=3, expected_compacted_through_sequence=0)
    with fails("ABORTED", "COMPACTION_MISMATCH") as failure:
        await compact(service, 3, expected_compacted_through_sequence=0)
    assert failure.metadata["actual_compacted_through_sequence"] == "2"
    with fails("ABORTED", "COMPACTION_MISMATCH"):
        await compact(service, 2, content="others", expected_compacted_through_sequence=0)
    assert (await window(service)).messages[0].content == "in short"


@pytest.mark.parametrize("status", [spb.SESSION_STATUS_COMPLETED, spb.SESSION_STATUS_ABANDONED])
async def test_a_session_that_is_over_can_be_compacted(service: Service, status: spb.SessionStatus) -> None:
    """An ended session takes a summary, which is no message; its own fields do not change."""
    await store(service, user(1), user(1))
    before = await update(service, "s", status=status)
    await compact(service, 1)
    after = await get(service)
    assert (after.etag, after.update_time) == (before.etag, before.update_time)
    assert after.last_activity_time == before.last_activity_time


async def test_a_session_that_is_not_there(service: Service) -> None:
    """A missing, deleted, expired or foreign session is NOT_FOUND; a restored one has its summary."""
    await append(service, "s", said(), said(), user_id="u", new_session=spb.SessionFields())
    await compact(service, 1, user_id="u")
    for fields in ({"session_id": "missing"}, {"user_id": "v"}):
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await compact(service, 1, **fields)
    await call(service, "DeleteSession", "s")
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await compact(service, 2)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await window(service)
    await call(service, "UndeleteSession", "s")
    assert sequences(await window(service)) == [1, 2]
    assert (await window(service)).summary.through_sequence == 1


async def test_a_result_that_comes_after_its_call_was_covered(service: Service) -> None:
    """A result whose call is covered is stored, and left out of windows as if the call had been cut off."""
    await store(service, user(1), calls("c"))
    await compact(service, 2)
    await append(service, "s", mpb.Message(role=mpb.ROLE_TOOL, content="found"), said())
    assert sequences(await window(service)) == [2, 4]
    assert len(await stored(service)) == 4


async def test_a_valid_request_is_valid(shared: Service) -> None:
    """The request that the other tests change is valid."""
    asked = request("CompactHistory", "none")
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await shared.stub.CompactHistory(asked)
