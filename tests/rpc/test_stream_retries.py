"""A message that is streamed again is stored once, and completes an interrupted one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from rpc_support import append, create, said, stored, update
from stream_support import COMPLETE, INTERRUPTED, begin, contents, finish, header, stream, text

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_pb2 as spb
from support.databases import execute
from support.errors import fails

if TYPE_CHECKING:
    from support.service import Service

pytestmark = pytest.mark.pooled

_CONSISTENT = """
select last_sequence >= coalesce(max(sequence), 0), message_count = count(sequence),
       sessions.total_tokens = coalesce(sum(token_count), 0),
       unpinned_tokens = coalesce(max(tokens_through), 0), unpinned_bytes = coalesce(max(bytes_through), 0)
from sessions left join messages using (session_key) group by sessions.session_key
"""


async def test_two_streams_of_one_id(service: Service, database_url: str) -> None:
    """The same message is stored once and returned to both streams; another message of that id is refused."""
    await create(service)
    streams = [await begin(service, header(), text(said)) for said in ("a", "a", "b")]
    for one in streams:
        await one.write(finish())
    outcomes = [await one.code() for one in streams]
    assert sorted(code.name for code in outcomes) in (
        ["ALREADY_EXISTS", "OK", "OK"],
        ["ALREADY_EXISTS", "ALREADY_EXISTS", "OK"],
    )
    assert len(await stored(service)) == 1
    assert execute(database_url, _CONSISTENT) == [(True,) * 5]


async def test_a_retry_completes_what_was_interrupted(service: Service, database_url: str) -> None:
    """A finish replaces an interrupted message of its id, under a new sequence; a break does not."""
    await create(service)
    await append(service, "s", said("hi"))
    first = header(expected_last_sequence=1, history={})
    kept = (await stream(service, first, text("It is s"))).message
    assert (kept.sequence, kept.status) == (2, INTERRUPTED)
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED"):
        await stream(service, first, text("It is sunny, I"))
    answer = await stream(service, first, text("It is sunny."), finish(usage={"output_tokens": 3}))
    assert (answer.message.sequence, answer.message.status, answer.last_sequence) == (3, COMPLETE, 3)
    assert (answer.message_count, answer.session_created) == (2, False)
    assert [message.content for message in answer.history.messages] == ["hi", "It is sunny."]
    assert await contents(service) == [("hi", COMPLETE), ("It is sunny.", COMPLETE)]
    assert execute(database_url, _CONSISTENT) == [(True,) * 5]
    again = await stream(service, first, text("It is sunny."), finish(usage={"output_tokens": 3}))
    assert again.message == answer.message
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED"):
        await stream(service, first, text("It rains."), finish())
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED"):
        await stream(service, first, text("It is s"))


async def test_an_interrupted_message_that_was_pinned(service: Service, database_url: str) -> None:
    """The counters stay right, whatever the tokens of the beginning and of the whole message."""
    await create(service)
    await append(service, "s", *[mpb.Message(role=mpb.ROLE_SYSTEM, pinned=True)] * 63)
    await stream(service, header(message={"pinned": True}), text("a fact"))
    answer = await stream(
        service, header(message={"pinned": True}), text("a whole fact"), finish(token_count=50)
    )
    assert (answer.message_count, answer.total_tokens, answer.last_sequence) == (64, 50, 65)
    assert execute(database_url, "select pinned_count, unpinned_tokens from sessions") == [(64, 0)]
    with fails("FAILED_PRECONDITION", "TOO_MANY_PINNED"):
        await append(service, "s", mpb.Message(role=mpb.ROLE_SYSTEM, pinned=True))


async def test_what_is_interrupted_stays_where_it_cannot_be_completed(service: Service) -> None:
    """An interrupted message stays if another follows, the session is closed, or a sequence mismatches."""
    await create(service)
    for name, fields in (("followed", {}), ("closed", {}), ("elsewhere", {"expected_last_sequence": 1})):
        await stream(service, header(name, new_session={}), text("a"))
        if name == "followed":
            await append(service, name, said("next"))
        if name == "closed":
            await update(service, name, status=spb.SESSION_STATUS_ABANDONED)
        closed = ("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE")
        with fails(*(closed if name == "closed" else ("ALREADY_EXISTS", "MESSAGE_ID_REUSED"))):
            await stream(service, header(name, **fields), text("ab"), finish())
        assert (await contents(service, name))[0] == ("a", INTERRUPTED)


async def test_a_completion_that_races_the_next_message(service: Service, database_url: str) -> None:
    """A completion beside the next append comes first, or is refused; no message is lost.

    The counters are right.
    """
    for number in range(8):
        name = f"s{number}"
        await stream(service, header(name, new_session={}), text("a"))
        results = await asyncio.gather(
            stream(service, header(name), text("ab"), finish()),
            append(service, name, said("next", message_id="next")),
            return_exceptions=True,
        )
        contents = [message.content for message in await stored(service, name)]
        completed = not isinstance(results[0], BaseException)
        assert contents == (["ab", "next"] if completed else ["a", "next"])
    assert execute(database_url, _CONSISTENT) == [(True,) * 5] * 8
