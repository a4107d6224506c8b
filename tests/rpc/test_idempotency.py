"""A retried append returns the first result; an id never stands for two messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rpc_support import append, call, create, fresh_id, get, said, stored, update

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from support.service import Service

pytestmark = pytest.mark.pooled

NEW = spb.SessionFields()
MEDIA = {"media": {"mime_type": "image/png", "data": b"\0"}}
THOUGHT = {"reasoning": {"text": "t", "opaque": "o", "signature": "s"}}

FULL: dict[str, Any] = {
    "message_id": "m",
    "role": mpb.ROLE_ASSISTANT,
    "name": "n",
    "content": "c",
    "tool_calls": [{"id": "i", "name": "f", "arguments": "{}"}],
    "tool_call_id": "t",
    "parts": [{"text": "t"}, MEDIA, THOUGHT],
    "payload": b"p",
    "payload_type": "pt",
    "metadata": '{"a":1}',
    "model": "m",
    "provider": "p",
    "finish_reason": "stop",
    "usage": {"input_tokens": 1, "output_tokens": 2, "cache_read_tokens": 3, "cache_write_tokens": 4},
    "token_count": 7,
    "status": mpb.MESSAGE_STATUS_INTERRUPTED,
    "turn_id": "turn",
    "send_time": Timestamp(seconds=1, nanos=1),
}

# Each entry changes one field.
CHANGES: dict[str, dict[str, Any]] = {
    "role": {"role": mpb.ROLE_USER},
    "name": {"name": "N"},
    "no name": {"name": ""},
    "content": {"content": "c "},
    "content empty": {"content": ""},
    "content null": {"content": None},
    "tool call's id": {"tool_calls": [{"id": "j", "name": "f", "arguments": "{}"}]},
    "tool call's name": {"tool_calls": [{"id": "i", "name": "g", "arguments": "{}"}]},
    "tool call's arguments": {"tool_calls": [{"id": "i", "name": "f", "arguments": "{ }"}]},
    "tool call twice": {"tool_calls": [{"id": "i", "name": "f", "arguments": "{}"}] * 2},
    "no tool calls": {"tool_calls": []},
    "tool_call_id": {"tool_call_id": "u"},
    "parts' order": {"parts": [MEDIA, {"text": "t"}, THOUGHT]},
    "part's kind": {"parts": [{"json": '"t"'}, MEDIA, THOUGHT]},
    "media's data": {"parts": [{"text": "t"}, {"media": {"mime_type": "image/png", "data": b"\1"}}, THOUGHT]},
    "media's source": {"parts": [{"text": "t"}, {"media": {"mime_type": "image/png", "uri": "u"}}, THOUGHT]},
    "media's type": {"parts": [{"text": "t"}, {"media": {"data": b"\0"}}, THOUGHT]},
    **{
        f"reasoning's {name}": {"parts": [{"text": "t"}, MEDIA, {"reasoning": THOUGHT["reasoning"] | other}]}
        for name, other in {
            "text": {"text": "T"},
            "opaque form": {"opaque": ""},
            "signature": {"signature": ""},
        }.items()
    },
    "reasoning that is text": {"parts": [{"text": "t"}, MEDIA, {"text": "t"}]},
    "no parts": {"parts": []},
    "payload": {"payload": b"q"},
    "payload_type": {"payload_type": "pu"},
    "metadata": {"metadata": '{"a": 1}'},
    "model": {"model": "n"},
    "provider": {"provider": "q"},
    "finish_reason": {"finish_reason": "length"},
    "no finish_reason": {"finish_reason": ""},
    "usage": {
        "usage": {"input_tokens": 1, "output_tokens": 2, "cache_read_tokens": 3, "cache_write_tokens": 0}
    },
    "a usage less": {"usage": {"input_tokens": 1, "output_tokens": 2, "cache_read_tokens": 3}},
    "no usage": {"usage": None},
    "token_count": {"token_count": 8},
    "token_count the server's": {"token_count": None},
    "status": {"status": mpb.MESSAGE_STATUS_COMPLETE},
    "turn_id": {"turn_id": "other"},
    "send_time": {"send_time": Timestamp(seconds=1, nanos=2)},
    "no send_time": {"send_time": None},
}


@pytest.mark.parametrize("method", ["AppendMessage", "AppendMessages"])
async def test_a_retry_returns_the_first_result(shared: Service, method: str) -> None:
    """A retry stores nothing and returns what was stored, with the present counters."""
    session_id = fresh_id()
    message = mpb.Message(**FULL)
    own = {"message": message} if method == "AppendMessage" else {"messages": [message]}
    first = await call(shared, method, session_id, **own, new_session=NEW)
    await append(shared, session_id, said("later"))
    again = await call(shared, method, session_id, **own, new_session=NEW)
    result = "message" if method == "AppendMessage" else "messages"
    assert getattr(again, result) == getattr(first, result)
    assert (first.session_created, again.session_created) == (True, False)
    session = await get(shared, session_id)
    assert (again.last_sequence, again.message_count, again.total_tokens) == (2, 2, session.total_tokens)
    assert [m.sequence for m in await stored(shared, session_id)] == [1, 2]


@pytest.mark.parametrize("change", [pytest.param(change, id=what) for what, change in CHANGES.items()])
async def test_an_id_with_other_content_is_refused(shared: Service, change: dict[str, Any]) -> None:
    """The same id with any one field changed is MESSAGE_ID_REUSED, and what is stored stays."""
    session_id = fresh_id()
    first = await append(shared, session_id, mpb.Message(**FULL), new_session=NEW)
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED") as failure:
        await call(shared, "AppendMessage", session_id, message=mpb.Message(**FULL | change))
    assert failure.metadata == {"message_id": "m", "index": "0"}
    assert failure.message == "the message id 'm' is stored already, with other fields"
    assert await stored(shared, session_id) == list(first.messages)


async def test_pinned_is_part_of_the_content(shared: Service) -> None:
    """The same id, once pinned and once not, is refused as two messages."""
    session_id = fresh_id()
    await append(shared, session_id, said(message_id="m"), new_session=NEW)
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED"):
        await append(shared, session_id, said(message_id="m", pinned=True))


async def test_what_the_server_sets_is_no_content(shared: Service) -> None:
    """A retry may carry fields that the server sets, because a client may send back its answer."""
    session_id = fresh_id()
    first = await append(shared, session_id, mpb.Message(**FULL), new_session=NEW)
    changed = mpb.Message(**FULL, sequence=99, create_time=Timestamp(seconds=5))
    assert (await append(shared, session_id, first.messages[0])).messages == first.messages
    assert (await append(shared, session_id, changed)).messages == first.messages


async def test_defaults_are_what_they_mean(shared: Service) -> None:
    """A status that is not set is COMPLETE: the same content."""
    session_id = fresh_id()
    first = await append(shared, session_id, said(message_id="m"), new_session=NEW)
    complete = said(message_id="m", status=mpb.MESSAGE_STATUS_COMPLETE)
    assert (await append(shared, session_id, complete)).messages == first.messages


@pytest.mark.parametrize("status", [spb.SESSION_STATUS_COMPLETED, spb.SESSION_STATUS_ABANDONED])
async def test_the_id_is_looked_at_before_status_and_sequence(
    shared: Service, status: spb.SessionStatus
) -> None:
    """A retry with a stale expectation on an inactive session returns the stored message."""
    session_id, message = fresh_id(), said(message_id="m")
    first = await append(shared, session_id, message, new_session=NEW, expected_last_sequence=0)
    await update(shared, session_id, status=status)
    again = await append(shared, session_id, message, new_session=NEW, expected_last_sequence=0)
    assert again.messages == first.messages
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED"):
        await append(shared, session_id, said("x", message_id="m"), expected_last_sequence=77)
    with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"):
        await append(shared, session_id, said(message_id="new"), expected_last_sequence=77)


async def test_a_retry_is_not_one_pinned_too_many(shared: Service) -> None:
    """A retry of the session's sixty-fourth pinned message returns it."""
    session_id = fresh_id()
    pins = [said(message_id=f"m{i}", pinned=True) for i in range(64)]
    first = await append(shared, session_id, *pins, new_session=NEW)
    assert (await append(shared, session_id, *pins)).messages == first.messages


async def test_the_session_is_looked_at_before_the_id(shared: Service) -> None:
    """A retry on a deleted session or as another user is NOT_FOUND, with and without new_session."""
    session_id, message = fresh_id(), said(message_id="m")
    await append(shared, session_id, message, user_id="u", new_session=spb.SessionFields())
    for fields in ({}, {"new_session": NEW}):
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await call(shared, "AppendMessage", session_id, "v", message=message, **fields)
    await call(shared, "DeleteSession", session_id)
    for fields in ({}, {"new_session": NEW}):
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await call(shared, "AppendMessage", session_id, "u", message=message, **fields)


@pytest.mark.parametrize(
    ("ids", "index"),
    [("ax", 0), ("xa", 1), ("abcx", 0), ("xxa", 2), ("ba", 1), ("acb", 1), ("ac", 1)],
)
async def test_a_batch_is_stored_as_a_whole_or_new(shared: Service, ids: str, index: int) -> None:
    """A batch that mixes stored and new messages, or reorders them, is refused with the index."""
    session_id = fresh_id()

    def batch(names: str) -> list[mpb.Message]:
        return [said(name, message_id=f"x{i}" if name == "x" else name) for i, name in enumerate(names)]

    await append(shared, session_id, *batch("abc"), new_session=NEW)
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED") as failure:
        await append(shared, session_id, *batch(ids))
    assert failure.metadata["index"] == str(index)
    assert failure.message == (
        f"messages[{index}]: the message id {failure.metadata['message_id']!r} is stored already,"
        " with other fields or apart from this batch"
    )
    assert [message.message_id for message in await stored(shared, session_id)] == ["a", "b", "c"]


async def test_a_part_of_a_batch_in_its_order_is_stored(shared: Service) -> None:
    """Consecutive stored messages in their order are a retry, even if they were parts of other batches."""
    session_id = fresh_id()
    a, b, c = (said(n, message_id=n) for n in "abc")
    await append(shared, session_id, a, b, c, new_session=NEW)
    assert [m.sequence for m in (await append(shared, session_id, b, c)).messages] == [2, 3]
    assert [m.sequence for m in (await append(shared, session_id, a)).messages] == [1]


async def test_messages_without_ids_are_always_new(shared: Service) -> None:
    """The server makes an id for each message without one, so such messages are never a retry."""
    session_id = fresh_id()
    for _ in range(2):
        await append(shared, session_id, said(), said(), new_session=NEW)
    assert len({message.message_id for message in await stored(shared, session_id)}) == 4


async def test_the_same_id_sent_at_once_is_stored_once(shared: Service) -> None:
    """A message that is sent several times at once is stored once, and each call gets the same result."""
    session_id = fresh_id()
    sends = [append(shared, session_id, said(message_id="m"), new_session=NEW) for _ in range(20)]
    answers = await asyncio.gather(*sends)
    assert all(answer.messages == answers[0].messages for answer in answers)
    assert sum(answer.session_created for answer in answers) == 1
    assert {(answer.last_sequence, answer.message_count) for answer in answers} == {(1, 1)}
    assert len(await stored(shared, session_id)) == 1


async def test_ids_are_free_again_after_a_purge(shared: Service) -> None:
    """After a purge the ids of the session and of its messages can be used again."""
    session_id = fresh_id()
    await append(shared, session_id, said("old", message_id="m"), new_session=NEW)
    await call(shared, "DeleteSession", session_id, purge=True)
    await create(shared, session_id)
    assert (await append(shared, session_id, said("new", message_id="m"))).last_sequence == 1
    assert [message.content for message in await stored(shared, session_id)] == ["new"]


async def test_an_id_means_something_in_its_session_only(shared: Service) -> None:
    """Two sessions may have messages with the same id."""
    for content in ("one", "two"):
        answer = await append(shared, fresh_id(), said(content, message_id="m"), new_session=NEW)
        assert answer.messages[0].content == content
