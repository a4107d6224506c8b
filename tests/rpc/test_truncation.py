"""TruncateMessages: the removed messages, the kept ones, and later appends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import append, call, create, fresh_id, get, said, stored, update
from stream_support import begin, finish, header, text

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from support.service import Service

pytestmark = pytest.mark.pooled


async def _talk(service: Service, *token_counts: int) -> str:
    """Return a session with messages m1, m2, … of these tokens."""
    session_id = fresh_id()
    messages = [
        said(f"number {number}", message_id=f"m{number}", token_count=tokens)
        for number, tokens in enumerate(token_counts, start=1)
    ]
    await append(service, session_id, *messages, new_session=spb.SessionFields())
    return session_id


async def _truncate(service: Service, session_id: str, keep: int, **fields: Any) -> Any:
    return await call(service, "TruncateMessages", session_id, keep_through_sequence=keep, **fields)


async def _sequences(service: Service, session_id: str) -> list[int]:
    return [message.sequence for message in await stored(service, session_id)]


async def test_what_comes_after_is_removed(shared: Service) -> None:
    """Later messages are removed; the counters are those of the kept ones, except the last sequence."""
    session_id = await _talk(shared, 1, 2, 4, 8)
    before = await stored(shared, session_id)
    answer = await _truncate(shared, session_id, 2)
    assert answer == pb.TruncateMessagesResponse(
        removed_message_count=2, last_sequence=4, message_count=2, total_tokens=3
    )
    assert await stored(shared, session_id) == before[:2]
    session = await get(shared, session_id)
    assert (session.last_sequence, session.message_count, session.total_tokens) == (4, 2, 3)


async def test_a_sequence_is_used_once(shared: Service) -> None:
    """A sequence is never used again: the next message follows the highest sequence ever used."""
    session_id = await _talk(shared, 1, 1, 1)
    await _truncate(shared, session_id, 1)
    assert (await append(shared, session_id, said())).messages[0].sequence == 4
    assert (await _truncate(shared, session_id, 0)).removed_message_count == 2
    assert await stored(shared, session_id) == []
    assert (await append(shared, session_id, said())).messages[0].sequence == 5
    assert await _sequences(shared, session_id) == [5]


async def test_an_id_is_forgotten(shared: Service) -> None:
    """A removed message is stored anew if it is sent again, even with another content."""
    session_id = await _talk(shared, 1, 1)
    (_, second) = await stored(shared, session_id)
    await _truncate(shared, session_id, 1)
    with fails("NOT_FOUND", "MESSAGE_NOT_FOUND"):
        await call(shared, "GetMessage", session_id, message_id="m2")
    again = await call(shared, "AppendMessage", session_id, message=second)
    assert (again.message.sequence, again.message.content) == (3, "number 2")
    await _truncate(shared, session_id, 1)
    other = await call(shared, "AppendMessage", session_id, message=said("other", message_id="m2"))
    assert (other.message.sequence, other.message_count) == (4, 2)


async def test_only_what_is_kept_is_known(shared: Service) -> None:
    """A retry of a kept message returns it."""
    session_id = await _talk(shared, 1, 1)
    (first, _) = await stored(shared, session_id)
    await _truncate(shared, session_id, 1)
    assert (await call(shared, "AppendMessage", session_id, message=first)).message == first


@pytest.mark.parametrize("after", range(6))
async def test_a_window_adds_up_after_it(shared: Service, after: int) -> None:
    """Token budgets count the stored messages only, before the gap and across it."""
    tokens = [1, 2, 4, 8, 16]
    session_id = await _talk(shared, *tokens)
    await _truncate(shared, session_id, after)
    for number in (6, 7):
        await append(shared, session_id, said(message_id=f"m{number}", token_count=32))
    weights = dict(enumerate(tokens[:after], start=1)) | {6: 32, 7: 32}
    for budget in range(sum(weights.values()) + 2):
        history = (await call(shared, "GetHistory", session_id, token_budget=budget)).history
        run: list[int] = []
        for sequence in sorted(weights, reverse=True):
            if sum(weights[each] for each in [*run, sequence]) > budget:
                break
            run.insert(0, sequence)
        assert [message.sequence for message in history.messages] == run
        assert history.omitted_message_count == len(weights) - len(run)


async def test_pinned_messages_go_as_well(shared: Service) -> None:
    """Removed pinned messages leave the windows, and make room for others."""
    session_id = await _talk(shared, 1)
    pins = [said(pinned=True, token_count=10) for _ in range(64)]
    await append(shared, session_id, *pins[:2])
    await append(shared, session_id, *pins[2:])
    with fails("FAILED_PRECONDITION", "TOO_MANY_PINNED"):
        await append(shared, session_id, pins[0])
    answer = await _truncate(shared, session_id, 3)
    assert (answer.removed_message_count, answer.total_tokens) == (62, 21)
    history = (await call(shared, "GetHistory", session_id, max_messages=100)).history
    assert [message.sequence for message in history.messages] == [1, 2, 3]
    await append(shared, session_id, *pins[2:])
    with fails("FAILED_PRECONDITION", "TOO_MANY_PINNED"):
        await append(shared, session_id, pins[0])


async def test_nothing_to_remove(shared: Service) -> None:
    """Nothing is removed after the last sequence, in an empty session, or by a second call."""
    session_id = await _talk(shared, 1, 1)
    for after, removed in ((2, 0), (1, 1), (1, 0), (0, 1), (0, 0)):
        assert (await _truncate(shared, session_id, after)).removed_message_count == removed
    empty = (await create(shared, fresh_id())).session_id
    assert (await _truncate(shared, empty, 0)) == pb.TruncateMessagesResponse()


async def test_a_sequence_that_the_session_has_not_reached(shared: Service) -> None:
    """A sequence beyond the session's last is refused with the actual one."""
    session_id = await _talk(shared, 1, 1)
    with fails("ABORTED", "SEQUENCE_MISMATCH") as failure:
        await _truncate(shared, session_id, 3)
    assert failure.metadata["actual_last_sequence"] == "2"
    assert await _sequences(shared, session_id) == [1, 2]


async def test_an_expected_last_sequence(shared: Service) -> None:
    """The expected last sequence must be the session's; a truncation keeps it, so that it can be repeated."""
    session_id = await _talk(shared, 1, 1)
    for expected in (0, 1, 3):
        with fails("ABORTED", "SEQUENCE_MISMATCH") as failure:
            await _truncate(shared, session_id, 1, expected_last_sequence=expected)
        assert failure.metadata["actual_last_sequence"] == "2"
    for removed in (1, 0):
        answer = await _truncate(shared, session_id, 1, expected_last_sequence=2)
        assert answer.removed_message_count == removed
    await append(shared, session_id, said())
    with fails("ABORTED", "SEQUENCE_MISMATCH"):
        await _truncate(shared, session_id, 1, expected_last_sequence=2)


@pytest.mark.parametrize("status", [spb.SESSION_STATUS_COMPLETED, spb.SESSION_STATUS_ABANDONED])
async def test_a_session_that_is_not_active(shared: Service, status: spb.SessionStatus) -> None:
    """An inactive session takes no appends and no truncation until it is active again."""
    session_id = await _talk(shared, 1, 1)
    await update(shared, session_id, status=status)
    with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"):
        await _truncate(shared, session_id, 0)
    await update(shared, session_id, status=spb.SESSION_STATUS_ACTIVE)
    assert (await _truncate(shared, session_id, 0)).removed_message_count == 2


@pytest.mark.parametrize("gone", ["deleted", "purged"])
async def test_a_session_that_is_gone(shared: Service, gone: str) -> None:
    """A deleted session is NOT_FOUND, and has its messages when it is restored."""
    session_id = await _talk(shared, 1, 1)
    await call(shared, "DeleteSession", session_id, purge=gone == "purged")
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await _truncate(shared, session_id, 0)
    if gone != "purged":
        await call(shared, "UndeleteSession", session_id)
        assert await _sequences(shared, session_id) == [1, 2]


async def test_what_a_truncation_leaves_alone(shared: Service) -> None:
    """A truncation changes neither the session's etag nor its title and times."""
    session_id = await _talk(shared, 1, 1)
    before = await get(shared, session_id)
    await _truncate(shared, session_id, 0)
    after = await get(shared, session_id)
    assert after.title == "number 1"
    for field in ("message_count", "total_tokens"):
        before.ClearField(field)
    assert after == before


async def test_what_to_keep_has_to_be_said_is_not_removed(shared: Service) -> None:
    """Without keep_through_sequence the call is refused, and is not taken for 0."""
    session_id = await _talk(shared, 1)
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await shared.stub.TruncateMessages(pb.TruncateMessagesRequest(session_id=session_id))
    assert list(failure.violations) == ["keep_through_sequence"]
    assert await _sequences(shared, session_id) == [1]


async def test_a_title_and_a_time_are_kept(shared: Service) -> None:
    """The title and the last activity time stay when their messages are removed."""
    session_id = await _talk(shared, 1)
    await _truncate(shared, session_id, 0)
    answer = await append(shared, session_id, said("another", role=mpb.ROLE_USER))
    session = await get(shared, session_id)
    assert session.title == "number 1"
    assert session.last_activity_time == answer.messages[0].create_time


async def test_a_stream_finishes_after_it(shared: Service) -> None:
    """An open stream gets its sequence at the finish, after the highest sequence ever used."""
    session_id = await _talk(shared, 1, 1)
    stream = await begin(shared, header(session_id, "m2"), text("streamed"))
    await _truncate(shared, session_id, 1)
    await stream.write(finish())
    assert (await stream).message.sequence == 3
    assert [message.content for message in await stored(shared, session_id)] == ["number 1", "streamed"]
