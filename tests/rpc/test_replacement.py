"""Storing messages in place of others: to edit and ask again, or to replace them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import append, call, create, fresh_id, get, said, stored, update, without

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from support.service import Service

pytestmark = pytest.mark.pooled


def _named(*names: str, content: str = "", **fields: Any) -> list[mpb.Message]:
    return [said(content or name, message_id=name, token_count=1, **fields) for name in names]


async def _talk(service: Service, *names: str) -> str:
    session_id = fresh_id()
    await append(service, session_id, *_named(*names), user_id="u", new_session=spb.SessionFields())
    return session_id


async def _replace(service: Service, session_id: str, keep: int, *messages: mpb.Message, **more: Any) -> Any:
    return await append(service, session_id, *messages, keep_through_sequence=keep, **more)


async def _told(service: Service, session_id: str) -> dict[int, str]:
    return {message.sequence: message.content for message in await stored(service, session_id)}


async def test_edit_and_ask_again(shared: Service) -> None:
    """Later messages are removed, new ones follow, and the counters are those of the stored messages."""
    session_id = await _talk(shared, "a", "b", "c", "d")
    answer = await _replace(shared, session_id, 2, *_named("e", "f", "g"))
    assert [message.sequence for message in answer.messages] == [5, 6, 7]
    assert (answer.last_sequence, answer.message_count, answer.total_tokens) == (7, 5, 5)
    assert await _told(shared, session_id) == {1: "a", 2: "b", 5: "e", 6: "f", 7: "g"}
    history = (await call(shared, "GetHistory", session_id, token_budget=4)).history
    assert [message.sequence for message in history.messages] == [2, 5, 6, 7]
    assert (history.omitted_message_count, history.last_sequence) == (1, 7)


async def test_set_the_whole_history(shared: Service) -> None:
    """With 0 all messages are removed; their ids may be used again, in any order and with any text."""
    session_id = await _talk(shared, "a", "b", "c")
    await _replace(shared, session_id, 0, *_named("c", "a"), *_named("b", content="edited"))
    assert await _told(shared, session_id) == {4: "c", 5: "a", 6: "edited"}
    await _replace(shared, session_id, 0, *_named("c", "x", "b"))
    assert await _told(shared, session_id) == {7: "c", 8: "x", 9: "b"}


async def test_after_the_last_nothing_goes(shared: Service) -> None:
    """After the last sequence it is an append like any other."""
    session_id = await _talk(shared, "a")
    await _replace(shared, session_id, 1, *_named("b"))
    assert await _told(shared, session_id) == {1: "a", 2: "b"}


async def test_a_retry_returns_what_is_stored(shared: Service) -> None:
    """Retries remove nothing and return the stored messages, in spite of later appends."""
    session_id = await _talk(shared, "a", "b")
    first = await _replace(shared, session_id, 1, *_named("c", "d"))
    assert await _replace(shared, session_id, 1, *_named("c", "d")) == first
    await append(shared, session_id, *_named("e"))
    again = await _replace(shared, session_id, 1, *_named("c", "d"), expected_last_sequence=2)
    assert (again.messages, again.last_sequence) == (first.messages, 5)
    assert await _told(shared, session_id) == {1: "a", 3: "c", 4: "d", 5: "e"}


async def test_a_retry_is_looked_at_before_the_status(shared: Service) -> None:
    """A retry on an inactive session returns the stored messages."""
    session_id = await _talk(shared, "a")
    first = await _replace(shared, session_id, 0, *_named("b"))
    await update(shared, session_id, status=spb.SESSION_STATUS_COMPLETED)
    assert await _replace(shared, session_id, 0, *_named("b")) == first
    with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"):
        await _replace(shared, session_id, 0, *_named("c"))


@pytest.mark.parametrize("names", ["bc", "b", "ba", "cb", "abx"])
async def test_what_is_stored_otherwise_is_stored_anew(shared: Service, names: str) -> None:
    """A batch that differs from the first messages after the sequence is no retry: it replaces them."""
    session_id = await _talk(shared, "a", "b", "c")
    await _replace(shared, session_id, 0, *_named(*names))
    assert list((await _told(shared, session_id)).values()) == list(names)


async def test_another_content_under_the_same_ids_is_stored_anew(shared: Service) -> None:
    """An edited message may keep its id, because the message with that id is removed."""
    session_id = await _talk(shared, "a", "b")
    await _replace(shared, session_id, 0, *_named("a"), *_named("b", content="edited"))
    assert await _told(shared, session_id) == {3: "a", 4: "edited"}


@pytest.mark.parametrize(("names", "index"), [("b", 0), ("xb", 1), ("cb", 1), ("ab", 0)])
async def test_the_id_of_a_kept_message_is_taken(shared: Service, names: str, index: int) -> None:
    """The error names the message whose id is taken, and nothing is removed."""
    session_id = await _talk(shared, "a", "b", "c")
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED") as failure:
        await _replace(shared, session_id, 2, *_named(*names))
    assert (failure.metadata["message_id"], failure.metadata["index"]) == (names[index], str(index))
    assert await _told(shared, session_id) == {1: "a", 2: "b", 3: "c"}


async def test_an_expected_last_sequence(shared: Service) -> None:
    """An expected last sequence protects messages that the caller does not know."""
    session_id = await _talk(shared, "a", "b")
    for expected in (0, 1, 3):
        with fails("ABORTED", "SEQUENCE_MISMATCH") as failure:
            await _replace(shared, session_id, 1, *_named("c"), expected_last_sequence=expected)
        assert failure.metadata["actual_last_sequence"] == "2"
    assert await _told(shared, session_id) == {1: "a", 2: "b"}
    await _replace(shared, session_id, 1, *_named("c"), expected_last_sequence=2)
    assert await _told(shared, session_id) == {1: "a", 3: "c"}


async def test_a_sequence_that_the_session_has_not_reached(shared: Service) -> None:
    """A sequence beyond the session's last is refused, and nothing is stored."""
    session_id = await _talk(shared, "a", "b")
    with fails("ABORTED", "SEQUENCE_MISMATCH") as failure:
        await _replace(shared, session_id, 3, *_named("c"))
    assert failure.metadata["actual_last_sequence"] == "2"


async def test_pinned_messages_that_go_make_room(shared: Service) -> None:
    """The limit of pinned messages applies to the result; beyond it nothing changes."""
    session_id = await _talk(shared, "a")
    pins = [said(pinned=True) for _ in range(65)]
    await append(shared, session_id, *pins[:64])
    answer = await _replace(shared, session_id, 1, *pins[:64])
    assert (answer.message_count, answer.last_sequence) == (65, 129)
    before = await get(shared, session_id)
    with fails("FAILED_PRECONDITION", "TOO_MANY_PINNED"):
        await _replace(shared, session_id, 1, *pins)
    assert await get(shared, session_id) == before


async def test_a_session_that_is_missing(shared: Service) -> None:
    """A missing session is NOT_FOUND, or is created; then 0 is the only valid sequence."""
    session_id = fresh_id()
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await _replace(shared, session_id, 0, *_named("a"))
    with fails("ABORTED", "SEQUENCE_MISMATCH"):
        await _replace(shared, session_id, 1, *_named("a"), new_session=spb.SessionFields())
    with fails("ABORTED", "SEQUENCE_MISMATCH"):
        wrong = {"expected_last_sequence": 1, "new_session": spb.SessionFields()}
        await _replace(shared, session_id, 0, *_named("a"), **wrong)
    made = await _replace(shared, session_id, 0, *_named("a"), new_session=spb.SessionFields(title="t"))
    assert (made.session_created, made.last_sequence) == (True, 1)
    again = await _replace(shared, session_id, 0, *_named("a"), new_session=spb.SessionFields(title="t"))
    assert (again.session_created, again.messages) == (False, made.messages)
    assert (await get(shared, session_id)).title == "t"


@pytest.mark.parametrize("caller", ["v", "deleted"])
async def test_a_session_that_is_not_there_for_the_caller(shared: Service, caller: str) -> None:
    """Another user's session or a deleted one is NOT_FOUND, with new_session too, and does not change."""
    session_id = await _talk(shared, "a", "b")
    if caller == "deleted":
        await call(shared, "DeleteSession", session_id)
    user_id = "v" if caller == "v" else "u"
    for more in ({}, {"new_session": spb.SessionFields()}):
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await _replace(shared, session_id, 0, *_named("c"), user_id=user_id, **more)
    if caller == "deleted":
        await call(shared, "UndeleteSession", session_id)
    assert await _told(shared, session_id) == {1: "a", 2: "b"}


async def test_a_title_comes_from_what_is_stored(shared: Service) -> None:
    """A session without a title gets it from the messages that replace others."""
    session_id = (await create(shared, fresh_id())).session_id
    await append(shared, session_id, said("not me", role=mpb.ROLE_ASSISTANT))
    await _replace(shared, session_id, 0, *_named("a", content="me"))
    assert (await get(shared, session_id)).title == "me"


async def test_messages_without_ids_are_always_new(shared: Service) -> None:
    """The server makes new ids, so that the same call again replaces the messages of the first one."""
    session_id = await _talk(shared, "a", "b")
    first = await _replace(shared, session_id, 1, said("x"))
    second = await _replace(shared, session_id, 1, said("x"))
    assert second.messages[0].sequence == 4
    ids = [without(answer.messages[0]).message_id for answer in (first, second)]
    assert ids[0] != ids[1]
    assert await _told(shared, session_id) == {1: "a", 4: "x"}
