"""The results and the refusals of appends."""

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

pytestmark = pytest.mark.pooled

NEW = spb.SessionFields()


@pytest.mark.parametrize("place", [0, 1, 499])
async def test_one_bad_message_and_nothing_is_stored(shared: Service, place: int) -> None:
    """A batch with an invalid message stores nothing and makes no session; the error names the index."""
    session_id = fresh_id()
    messages = [said(f"{number}") for number in range(500)]
    messages[place] = said("a\0b")
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await append(shared, session_id, *messages, new_session=NEW)
    assert list(failure.violations) == [f"messages[{place}].content"]
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await get(shared, session_id)


@pytest.mark.parametrize("place", [0, 1, 9])
async def test_one_taken_id_and_nothing_is_stored(shared: Service, place: int) -> None:
    """A batch with a taken id stores nothing, changes no counter, and the error names the index."""
    session_id = fresh_id()
    await append(shared, session_id, said(message_id="m"), new_session=NEW)
    before = await get(shared, session_id)
    messages = [said(f"{number}") for number in range(10)]
    messages[place].message_id = "m"
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED") as failure:
        await append(shared, session_id, *messages)
    assert failure.metadata == {"message_id": "m", "index": str(place)}
    assert await get(shared, session_id) == before
    assert (await append(shared, session_id, said())).messages[0].sequence == 2


async def test_an_append_says_what_it_stored(shared: Service) -> None:
    """The answer has the messages with sequences from 1 on, and the session's counters after them."""
    session_id = fresh_id()
    one = await call(shared, "AppendMessage", session_id, message=said("four"), new_session=NEW)
    assert (one.session_id, one.message.sequence, one.message.token_count) == (session_id, 1, 1)
    assert (one.last_sequence, one.message_count, one.total_tokens) == (1, 1, 1)
    two = await append(shared, session_id, said("fives"), said("", token_count=10))
    assert [(m.sequence, m.token_count) for m in two.messages] == [(2, 2), (3, 10)]
    assert (two.session_id, two.last_sequence, two.message_count, two.total_tokens) == (session_id, 3, 3, 13)
    assert await stored(shared, session_id) == [one.message, *two.messages]


async def test_a_session_without_an_id_gets_one(shared: Service) -> None:
    """The server makes a new session_id for each request without one."""
    ids = {(await call(shared, method, "", new_session=NEW)).session_id for method in ("AppendMessage",) * 2}
    ids |= {(await call(shared, "AppendMessages", "", new_session=NEW)).session_id}
    assert len(ids) == 3
    for session_id in ids:
        assert len(await stored(shared, session_id)) == 1


async def test_new_session_is_only_for_a_missing_session(shared: Service) -> None:
    """A session that new_session creates has its fields; an existing session does not change."""
    session_id = fresh_id()
    first = spb.SessionFields(title="t", model="m", labels={"a": "1"}, metadata="{}", state='{"s":1}')
    await call(shared, "AppendMessage", session_id, "u", new_session=first)
    made = await get(shared, session_id)
    assert made.user_id == "u"
    for field in ("title", "model", "labels", "metadata", "state"):
        assert getattr(made, field) == getattr(first, field)
    other = spb.SessionFields(title="other", labels={"b": "2"})
    await call(shared, "AppendMessage", session_id, new_session=other)
    found = await get(shared, session_id)
    assert (found.title, found.labels, found.etag) == (made.title, made.labels, made.etag)


async def test_an_append_is_no_change_of_the_session(shared: Service) -> None:
    """Appends move counters and last_activity_time; etag and update_time stay."""
    session_id = fresh_id()
    before = await create(shared, session_id, title="t")
    assert before.last_activity_time == before.create_time
    answer = await append(shared, session_id, said(), said())
    after = await get(shared, session_id)
    assert after.last_activity_time == answer.messages[-1].create_time
    for field in ("message_count", "total_tokens", "last_sequence", "last_activity_time"):
        after.ClearField(field)
        before.ClearField(field)
    assert after == before


async def test_the_expected_sequence_holds(shared: Service) -> None:
    """An append with the right expected_last_sequence is stored: 0 for a session without messages."""
    session_id = fresh_id()
    await append(shared, session_id, said(), said(), new_session=NEW, expected_last_sequence=0)
    assert (await append(shared, session_id, said(), expected_last_sequence=2)).last_sequence == 3
    await create(shared, empty := fresh_id())
    assert (await append(shared, empty, said(), expected_last_sequence=0)).last_sequence == 1


@pytest.mark.parametrize("expected", [0, 1, 3, 2**63 - 1])
async def test_another_sequence_is_aborted(shared: Service, expected: int) -> None:
    """An append with another expected_last_sequence is ABORTED with the actual one, and stores nothing."""
    session_id = fresh_id()
    await append(shared, session_id, said(), said(), new_session=NEW)
    with fails("ABORTED", "SEQUENCE_MISMATCH") as failure:
        await append(shared, session_id, said(), new_session=NEW, expected_last_sequence=expected)
    assert failure.metadata["actual_last_sequence"] == "2"
    assert (await get(shared, session_id)).message_count == 2


async def test_a_new_session_has_the_sequence_0(shared: Service) -> None:
    """With new_session any expectation other than 0 is ABORTED, and no session is made."""
    session_id = fresh_id()
    with fails("ABORTED", "SEQUENCE_MISMATCH") as failure:
        await append(shared, session_id, said(), new_session=NEW, expected_last_sequence=1)
    assert failure.metadata == {"session_id": session_id, "actual_last_sequence": "0"}
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await get(shared, session_id)


@pytest.mark.parametrize(("there", "more"), [(None, 65), (0, 65), (64, 1), (60, 5)])
async def test_pinned_messages_have_their_limit(shared: Service, there: int | None, more: int) -> None:
    """A session holds 64 pinned messages; an append beyond that stores nothing."""
    session_id, pin = fresh_id(), said(pinned=True)
    if there is not None:
        await create(shared, session_id)
    for _ in range(there or 0):
        await append(shared, session_id, pin)
    with fails("FAILED_PRECONDITION", "TOO_MANY_PINNED") as failure:
        await append(shared, session_id, *[pin] * more, new_session=NEW)
    assert failure.metadata == {"session_id": session_id, "pinned_count": str(there or 0)}
    answer = await append(shared, session_id, said(), new_session=NEW)
    assert (answer.message_count, answer.session_created) == ((there or 0) + 1, there is None)


# A reader sees each of these as one character, although it has several code points.
GRAPHEMES = {
    "flag": "\U0001f1e8\U0001f1ed",
    "family": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "skin": "\U0001f44d\U0001f3fd",
    "accent": "e\u0301",
    "jamo": "\u1112\u1161\u11ab",
    "Devanagari": "\u0915\u094d\u0937\u093f",
    "line break": "\r\n",
}
IMAGE = mpb.Part(media={"uri": "u"})

TITLES: dict[str, tuple[list[mpb.Message], str]] = {
    **{
        f"{what} that fits": ([said("x" * (80 - len(whole)) + whole + "y")], "x" * (80 - len(whole)) + whole)
        for what, whole in GRAPHEMES.items()
    },
    **{
        f"{what} cut before it, by {short}": ([said("x" * (80 - short) + whole)], "x" * (80 - short))
        for what, whole in GRAPHEMES.items()
        for short in range(1, len(whole))
    },
    "of flags": ([said("x" + GRAPHEMES["flag"] * 50)], "x" + GRAPHEMES["flag"] * 39),
    "of one endless grapheme": ([said("e" + "\u0301" * 200)], "e" + "\u0301" * 79),
    "a text part": ([said(None, parts=[IMAGE, mpb.Part(text="part"), mpb.Part(text="2")])], "part"),
    "a text part, empty content": ([said("", parts=[mpb.Part(text=""), mpb.Part(text="part")])], "part"),
    "content before parts": ([said("content", parts=[mpb.Part(text="part")])], "content"),
    "a long text part": ([said(None, parts=[mpb.Part(text="e\u0301" * 80)])], "e\u0301" * 40),
    "the first that has any text": (
        [said(None, parts=[IMAGE, mpb.Part(json='"a"')]), said(""), said(None), said("text"), said("more")],
        "text",
    ),
    "more than white space": ([said(" \n\t\u3000"), said("", parts=[mpb.Part(text=" ")]), said("q")], "q"),
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
    """A session without a title gets the first text of a user, cut at 80 code points at most."""
    session_id = fresh_id()
    if made_before:
        await create(shared, session_id)
    for batch in [messages] if together else [[message] for message in messages]:
        await append(shared, session_id, *batch, new_session=NEW)
    assert (await get(shared, session_id)).title == title


async def test_a_title_that_was_given_stays(shared: Service) -> None:
    """A message replaces neither a title of the caller nor one that the caller has cleared."""
    session_id = fresh_id()
    await create(shared, session_id, title="given")
    await append(shared, session_id, said("first"))
    assert (await get(shared, session_id)).title == "given"
    await update(shared, session_id, "title")
    await append(shared, session_id, said("second"))
    assert (await get(shared, session_id)).title == ""
    made = fresh_id()
    await append(shared, made, said("first"), new_session=spb.SessionFields(title="given"))
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
        ({"content": "1", "parts": [{"text": "23"}, {"json": '"1234567890"'}, {"text": "4"}]}, 4),
        ({"content": "1", "tool_calls": [{"id": "123456789", "name": "23", "arguments": "45"}]}, 2),
        ({"content": "12345", "token_count": 0}, 0),
        ({"content": "1", "name": "n" * 99, "payload": b"p" * 99, "metadata": "{}"}, 1),
    ],
)
async def test_tokens_are_counted_once_rounded(shared: Service, fields: dict[str, Any], tokens: int) -> None:
    """The code points of content, text parts, calls' names and arguments are divided by 4 and rounded up.

    A token count of the caller takes precedence.
    """
    message = mpb.Message(role=mpb.ROLE_USER, **fields)
    answer = await append(shared, fresh_id(), message, new_session=NEW)
    assert (answer.messages[0].token_count, answer.total_tokens) == (tokens, tokens)


async def test_the_window_comes_with_the_append_if_asked_for(shared: Service) -> None:
    """With history the answer has the window that GetHistory would return now; without it none."""
    session_id = fresh_id()
    assert not (await call(shared, "AppendMessage", session_id, new_session=NEW)).HasField("history")
    answer = await call(shared, "AppendMessage", session_id, history={})
    assert answer.history == (await call(shared, "GetHistory", session_id)).history
    assert [message.sequence for message in answer.history.messages] == [1, 2]
    limits = pb.AppendMessageRequest(history={"max_messages": 1}).history
    answer = await call(shared, "AppendMessage", session_id, history=limits)
    assert list(answer.history.messages) == [answer.message]
