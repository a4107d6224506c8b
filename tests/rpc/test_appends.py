"""What an append stores, refuses and says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import append, call, create, fresh_id, get, said, stored, update

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from support.service import Service

NEW = spb.Session()


@pytest.mark.parametrize("place", [0, 1, 499])
async def test_one_bad_message_and_nothing_is_stored(shared: Service, place: int) -> None:
    """A batch is all or nothing: the error names the index, and no message and no session is made."""
    session_id = fresh_id()
    messages = [said(f"{number}") for number in range(500)]
    messages[place] = said("a\0b")
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await append(shared, session_id, *messages, create_session=NEW)
    assert list(failure.violations) == [f"messages[{place}].content"]
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await get(shared, session_id)


@pytest.mark.parametrize("place", [0, 1, 9])
async def test_one_taken_id_and_nothing_is_stored(shared: Service, place: int) -> None:
    """A batch with an id that is taken names its index, and leaves messages, counters and sequence alone."""
    session_id = fresh_id()
    await append(shared, session_id, said(message_id="m"), create_session=NEW)
    before = await get(shared, session_id)
    messages = [said(f"{number}") for number in range(10)]
    messages[place].message_id = "m"
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED") as failure:
        await append(shared, session_id, *messages)
    assert failure.metadata == {"message_id": "m", "index": str(place)}
    assert await get(shared, session_id) == before
    assert (await append(shared, session_id, said())).messages[0].sequence == 2


async def test_an_append_says_what_it_stored(shared: Service) -> None:
    """The answer holds the messages with sequences from 1 on, and the session's counters after them."""
    session_id = fresh_id()
    one = await call(shared, "AppendMessage", session_id, message=said("four"), create_session=NEW)
    assert (one.session_id, one.message.sequence, one.message.token_count) == (session_id, 1, 1)
    assert (one.last_sequence, one.message_count, one.total_tokens) == (1, 1, 1)
    two = await append(shared, session_id, said("fives"), said("", token_count=10))
    assert [(m.sequence, m.token_count) for m in two.messages] == [(2, 2), (3, 10)]
    assert (two.session_id, two.last_sequence, two.message_count, two.total_tokens) == (session_id, 3, 3, 13)
    assert await stored(shared, session_id) == [one.message, *two.messages]


async def test_a_session_without_an_id_gets_one(shared: Service) -> None:
    """The server makes a session_id where neither request nor create_session has one, each time another."""
    ids = {
        (await call(shared, method, "", create_session=NEW)).session_id for method in ("AppendMessage",) * 2
    }
    ids |= {(await call(shared, "AppendMessages", "", create_session=NEW)).session_id}
    assert len(ids) == 3
    for session_id in ids:
        assert len(await stored(shared, session_id)) == 1


async def test_create_session_may_carry_the_id(shared: Service) -> None:
    """An id in create_session is as good as one in the request; both may be there if they agree."""
    session_id = fresh_id()
    carried = spb.Session(session_id=session_id)
    assert (await call(shared, "AppendMessage", "", create_session=carried)).session_id == session_id
    assert (await call(shared, "AppendMessage", session_id, create_session=carried)).message_count == 2


async def test_create_session_is_only_for_a_missing_session(shared: Service) -> None:
    """The session that create_session makes has its fields; one that is there stays as it is."""
    session_id = fresh_id()
    first = spb.Session(user_id="u", title="t", model="m", labels={"a": "1"}, metadata="{}", state='{"s":1}')
    await call(shared, "AppendMessage", session_id, create_session=first)
    made = await get(shared, session_id)
    for field in ("user_id", "title", "model", "labels", "metadata", "state"):
        assert getattr(made, field) == getattr(first, field)
    other = spb.Session(title="other", labels={"b": "2"})
    await call(shared, "AppendMessage", session_id, create_session=other)
    found = await get(shared, session_id)
    assert (found.title, found.labels, found.etag) == (made.title, made.labels, made.etag)


async def test_an_append_is_no_change_of_the_session(shared: Service) -> None:
    """Appends move counters and last_message_time; etag and update_time stay."""
    session_id = fresh_id()
    before = await create(shared, session_id, title="t")
    assert not before.HasField("last_message_time")
    answer = await append(shared, session_id, said(), said())
    after = await get(shared, session_id)
    assert after.last_message_time == answer.messages[-1].create_time
    for field in ("message_count", "total_tokens", "last_sequence", "last_message_time"):
        after.ClearField(field)
    assert after == before


async def test_the_expected_sequence_holds(shared: Service) -> None:
    """An append with the right expected_last_sequence is stored: 0 for a session without messages."""
    session_id = fresh_id()
    await append(shared, session_id, said(), said(), create_session=NEW, expected_last_sequence=0)
    assert (await append(shared, session_id, said(), expected_last_sequence=2)).last_sequence == 3
    await create(shared, empty := fresh_id())
    assert (await append(shared, empty, said(), expected_last_sequence=0)).last_sequence == 1


@pytest.mark.parametrize("expected", [0, 1, 3, 2**63 - 1])
async def test_another_sequence_is_aborted(shared: Service, expected: int) -> None:
    """An append with another expected_last_sequence is ABORTED with the actual one, and stores nothing."""
    session_id = fresh_id()
    await append(shared, session_id, said(), said(), create_session=NEW)
    with fails("ABORTED", "SEQUENCE_MISMATCH") as failure:
        await append(shared, session_id, said(), create_session=NEW, expected_last_sequence=expected)
    assert failure.metadata["actual_last_sequence"] == "2"
    assert (await get(shared, session_id)).message_count == 2


async def test_a_new_session_has_the_sequence_0(shared: Service) -> None:
    """With create_session any other expectation than 0 is ABORTED, and no session is made."""
    session_id = fresh_id()
    with fails("ABORTED", "SEQUENCE_MISMATCH") as failure:
        await append(shared, session_id, said(), create_session=NEW, expected_last_sequence=1)
    assert failure.metadata == {"session_id": session_id, "actual_last_sequence": "0"}
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await get(shared, session_id)


@pytest.mark.parametrize(("there", "more"), [(None, 65), (0, 65), (64, 1), (60, 5)])
async def test_pinned_messages_have_their_limit(shared: Service, there: int | None, more: int) -> None:
    """A session holds 64 pinned messages; an append that would make it more stores nothing."""
    session_id, pin = fresh_id(), said(pinned=True)
    if there is not None:
        await create(shared, session_id)
    for _ in range(there or 0):
        await append(shared, session_id, pin)
    with fails("FAILED_PRECONDITION", "TOO_MANY_PINNED") as failure:
        await append(shared, session_id, *[pin] * more, create_session=NEW)
    assert failure.metadata == {"session_id": session_id, "pinned_count": str(there or 0)}
    answer = await append(shared, session_id, said(), create_session=NEW)
    assert (answer.message_count, answer.session_created) == ((there or 0) + 1, there is None)


TITLES: dict[str, tuple[list[mpb.Message], str]] = {
    "short": ([said("A question")], "A question"),
    "of 80": ([said("😀" * 80)], "😀" * 80),
    "of 81": ([said("é" + "😀" * 80)], "é" + "😀" * 79),
    "no other role": ([said("x", role=role) for role in mpb.Role.values() if role not in (0, 3)], ""),
    "after others": ([said("x", role=mpb.ROLE_SYSTEM), said("x", role=mpb.ROLE_ASSISTANT), said("q")], "q"),
    "the first of two": ([said("first"), said("second")], "first"),
    "kept as it is": ([said("  two\nlines  ")], "  two\nlines  "),
}


@pytest.mark.parametrize(
    ("messages", "title"), [pytest.param(*case, id=what) for what, case in TITLES.items()]
)
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("made_before", [True, False])
async def test_the_first_user_message_is_the_title(
    shared: Service, messages: list[mpb.Message], title: str, *, together: bool, made_before: bool
) -> None:
    """A session that was given no title gets its first user message, cut at 80 code points."""
    session_id = fresh_id()
    if made_before:
        await create(shared, session_id)
    for batch in [messages] if together else [[message] for message in messages]:
        await append(shared, session_id, *batch, create_session=NEW)
    assert (await get(shared, session_id)).title == title


async def test_a_title_that_was_given_stays(shared: Service) -> None:
    """Neither a title of the caller's nor one that was cleared gives way to a message."""
    session_id = fresh_id()
    await create(shared, session_id, title="given")
    await append(shared, session_id, said("first"))
    assert (await get(shared, session_id)).title == "given"
    await update(shared, session_id, "title")
    await append(shared, session_id, said("second"))
    assert (await get(shared, session_id)).title == ""
    made = fresh_id()
    await append(shared, made, said("first"), create_session=spb.Session(title="given"))
    assert (await get(shared, made)).title == "given"
    await create(shared, cleared := fresh_id())
    await update(shared, cleared, "title")
    await append(shared, cleared, said("first"))
    assert (await get(shared, cleared)).title == ""


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"content": None}, 0),
        ({"content": ""}, 0),
        ({"content": "é😀é😀"}, 1),
        ({"content": "12345"}, 2),
        ({"content": "1", "parts": [{"text": "23"}, {"json": '"1234567890"'}, {"text": "4"}]}, 1),
        ({"content": "1", "tool_calls": [{"id": "123456789", "name": "23", "arguments": "45"}]}, 2),
        ({"content": "12345", "token_count": 0}, 0),
        ({"content": "1", "name": "n" * 99, "payload": b"p" * 99, "metadata": "{}"}, 1),
    ],
)
async def test_tokens_are_counted_once_rounded(shared: Service, fields: dict[str, Any], tokens: int) -> None:
    """Code points of content, text parts, calls' names and arguments, by 4, rounded up once, unless given."""
    message = mpb.Message(role=mpb.ROLE_USER, **fields)
    answer = await append(shared, fresh_id(), message, create_session=NEW)
    assert (answer.messages[0].token_count, answer.total_tokens) == (tokens, tokens)


async def test_the_window_comes_with_the_append_if_asked_for(shared: Service) -> None:
    """With history the answer holds the window that GetHistory returns now; without it none."""
    session_id = fresh_id()
    assert not (await call(shared, "AppendMessage", session_id, create_session=NEW)).HasField("history")
    answer = await call(shared, "AppendMessage", session_id, history={})
    assert answer.history == (await call(shared, "GetHistory", session_id)).history
    assert [message.sequence for message in answer.history.messages] == [1, 2]
    limits = pb.AppendMessageRequest(history={"max_messages": 1}).history
    answer = await call(shared, "AppendMessage", session_id, history=limits)
    assert list(answer.history.messages) == [answer.message]
