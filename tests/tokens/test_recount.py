"""A recounted session has the numbers that the counter would have given from the start."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tokens_support import append, counter_of, inconsistent, numbers, recount, says

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server.store import tokens as storing
from support.databases import execute
from support.errors import fails
from support.reference_window import Limits
from support.reference_window import window as reference_window
from support.talk import window

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sessionhistory_server.store.postgres.connection import Connection
    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

pytestmark = pytest.mark.pooled

MESSAGES = [
    says("a system prompt of seven words here", role=mpb.ROLE_SYSTEM, pinned=True),
    says("a b c d e"),
    says("f", token_count=100),
    says(None, role=mpb.ROLE_ASSISTANT, tool_calls=[{"id": "c", "name": "look up", "arguments": '{"a": 1}'}]),
    says("found it", role=mpb.ROLE_TOOL, tool_call_id="c"),
    says("", parts=[{"text": "g h"}, {"json": '"i j k"'}]),
    says("pinned with a count", pinned=True, token_count=9),
    says("l m n"),
]


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count a few messages at a time."""
    monkeypatch.setattr(storing, "_PAGE_MESSAGES", 3)
    monkeypatch.setattr(storing, "_MESSAGES_AT_ONCE", 2)


async def stored(service: Service) -> list[mpb.Message]:
    """Return all messages of a session."""
    return list((await service.stub.ListMessages(pb.ListMessagesRequest(session_id="s"))).messages)


@pytest.mark.usefixtures("small_steps")
async def test_the_numbers_are_those_of_the_counter(serve: Serve, database_url: str) -> None:
    """Every column has the value that the new counter would have given, and back again."""
    servers = {name: await serve(database_url, token_counter=name) for name in ("characters", "words")}
    for name, server in servers.items():
        for session_id in (name, f"again-{name}"):
            await append(server, *MESSAGES, session_id=session_id)
    assert numbers(database_url, "words") != numbers(database_url, "characters")
    response = await recount(servers["words"], "again-characters")
    assert response.changed_message_count == 4
    assert response.session == (await _session(servers["words"], "again-characters"))
    assert numbers(database_url, "again-characters") == numbers(database_url, "words")
    await recount(servers["characters"], "again-words")
    assert numbers(database_url, "again-words") == numbers(database_url, "characters")
    assert inconsistent(database_url) == []
    assert (await recount(servers["characters"], "again-words")).changed_message_count == 0


@pytest.mark.usefixtures("small_steps")
async def test_nothing_else_changes(serve: Serve, database_url: str) -> None:
    """Messages keep all but their counts; the session keeps its etag, times and status, whatever that is."""
    old, new = await serve(database_url), await serve(database_url, token_counter="words")
    await append(old, *MESSAGES)
    update = pb.UpdateSessionRequest(session_id="s", session={"status": "SESSION_STATUS_COMPLETED"})
    before = (await old.stub.UpdateSession(update)).session
    messages = await stored(old)
    after = (await recount(new)).session
    assert (before.token_counter, after.token_counter) == ("characters@2", "words@2")
    recounted = await stored(new)
    assert [m.token_count for m in recounted] == [7, 5, 100, 4, 2, 5, 9, 3]
    for message in (*messages, *recounted):
        message.ClearField("token_count")
    assert recounted == messages
    for session in (before, after):
        session.ClearField("token_counter")
        session.ClearField("total_tokens")
    assert after == before


async def test_windows_go_by_the_new_numbers(serve: Serve, database_url: str) -> None:
    """After a recount the window for any budget is that of the reference."""
    old, new = await serve(database_url), await serve(database_url, token_counter="bytes:2")
    await append(old, *MESSAGES * 3)
    await recount(new)
    messages = await stored(new)
    for budget in range(0, 450, 7):
        expected = reference_window(messages, Limits(20, budget), 24)
        assert await window(old, "s", token_budget=budget) == expected


async def test_what_is_appended_goes_on_from_there(serve: Serve, database_url: str) -> None:
    """Later appends of any server are counted by the session's new counter."""
    old, new = await serve(database_url), await serve(database_url, token_counter="words")
    await append(old, *MESSAGES)
    await recount(new)
    assert await append(old, says("a b c d e")) == [5]
    assert await append(new, says("a b c d e")) == [5]
    assert inconsistent(database_url) == []


async def test_an_empty_session(serve: Serve, database_url: str) -> None:
    """An empty session has nothing to count, and gets the new counter."""
    old, new = await serve(database_url), await serve(database_url, token_counter="words")
    await old.stub.CreateSession(pb.CreateSessionRequest(session_id="s"))
    response = await recount(new)
    assert (response.changed_message_count, response.session.token_counter) == (0, "words@2")


async def test_a_mixed_session_is_mended(serve: Serve, database_url: str) -> None:
    """A counter that works mends a mixed session; one that fails leaves it mixed."""
    broken = await serve(database_url, token_counter="failing")
    await append(broken, says("a b c d e"), says("some poison"))
    assert await counter_of(broken) == "mixed"
    assert (await recount(broken)).session.token_counter == "mixed"
    working = await serve(database_url, token_counter="words")
    response = await recount(working)
    assert (response.session.token_counter, response.session.total_tokens) == ("words@2", 7)
    assert (await recount(broken)).session.token_counter == "mixed"
    assert [message.token_count for message in await stored(broken)] == [5, 3]


async def test_a_deleted_session_is_not_found(serve: Serve, database_url: str) -> None:
    """A recount of a deleted session is NOT_FOUND, like any read."""
    service = await serve(database_url)
    await append(service, says("a"))
    await service.stub.DeleteSession(pb.DeleteSessionRequest(session_id="s"))
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await recount(service)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Awaitable[object]]]:
    """Calls that run once after the counting, just before the session is locked."""
    todo: list[Callable[[], Awaitable[object]]] = []
    original = storing.locked

    @asynccontextmanager
    async def locked(connection: Connection, key: Any) -> AsyncIterator[bool]:
        while todo:
            await todo.pop()()
        async with original(connection, key) as is_there:
            yield is_there

    monkeypatch.setattr(storing, "locked", locked)
    return todo


@pytest.mark.usefixtures("small_steps")
async def test_what_comes_after_the_counting_is_counted(
    serve: Serve, database_url: str, meanwhile: list[Any]
) -> None:
    """Messages that come between the counting and the lock are counted, also more than one step's."""
    old, new = await serve(database_url), await serve(database_url, token_counter="words")
    await append(old, *MESSAGES)
    meanwhile.append(lambda: append(old, *[says("a b c d e")] * 7))
    await recount(new)
    assert [message.token_count for message in await stored(new)][-7:] == [5] * 7
    assert inconsistent(database_url) == []


@pytest.mark.usefixtures("small_steps")
async def test_what_is_gone_after_the_counting_is_not_counted(
    serve: Serve, database_url: str, meanwhile: list[Any]
) -> None:
    """Messages that were removed after the counting are not counted, from the end or from the middle."""
    old, new = await serve(database_url), await serve(database_url, token_counter="words")
    await append(old, *MESSAGES * 2)

    async def remove() -> None:
        execute(
            database_url,
            "delete from messages where sequence in (2, 3, 10, 11, 12, 13, 14, 15, 16)",
            "update sessions set message_count = 7",
        )
        await append(old, says("x y"))

    meanwhile.append(remove)
    assert (await recount(new)).session.total_tokens == 7 + 4 + 2 + 5 + 9 + 3 + 7 + 2
    assert [row[0] for row in numbers(database_url)[0]] == [1, 4, 5, 6, 7, 8, 9, 17]
    assert inconsistent(database_url) == []


@pytest.mark.parametrize("again", [False, True], ids=["gone", "another"])
async def test_a_session_that_is_purged_in_the_meantime(
    serve: Serve, database_url: str, meanwhile: list[Any], *, again: bool
) -> None:
    """A session that is purged after the counting is NOT_FOUND; a new one with its id does not change."""
    old, new = await serve(database_url), await serve(database_url, token_counter="words")
    await append(old, *MESSAGES)

    async def purge() -> None:
        await old.stub.DeleteSession(pb.DeleteSessionRequest(session_id="s", purge=True))
        if again:
            await append(old, says("a b c d e"))

    meanwhile.append(purge)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await recount(new)
    if again:
        assert await counter_of(new) == "characters@2"
        assert [message.token_count for message in await stored(new)] == [3]


@pytest.mark.usefixtures("small_steps")
async def test_recounts_race_appends(serve: Serve, database_url: str) -> None:
    """After concurrent appends, truncations and recounts all counts are of one counter, and totals right."""
    names = ("characters", "words", "bytes:3")
    servers = [await serve(database_url, token_counter=name) for name in names]
    await append(servers[0], *MESSAGES)
    left = 12

    async def talk(server: Service, number: int) -> None:
        nonlocal left
        for turn in range(25):
            extra = {"pinned": True} if turn % 12 == 5 else {"token_count": turn} if turn % 5 == 0 else {}
            request = pb.AppendMessagesRequest(
                session_id="s", messages=[says(f"a b {number} {turn}", **extra), says("answer")]
            )
            await server.stub.AppendMessages(request)
            await append(server, says("one more"))
            if turn % 10 == 9:
                last = (await _session(server, "s")).last_sequence
                await server.stub.TruncateMessages(
                    pb.TruncateMessagesRequest(session_id="s", keep_through_sequence=last - 4)
                )
        left -= 1

    async def count_again() -> None:
        times = 0
        while left or times < len(servers):
            await recount(servers[times % 3])
            assert inconsistent(database_url) == []
            times += 1

    await asyncio.gather(*(talk(servers[number % 3], number) for number in range(12)), count_again())
    assert inconsistent(database_url) == []
    name = await counter_of(servers[0])
    before = numbers(database_url)
    again = await recount(servers[names.index(name.removesuffix("@2"))])
    assert again.changed_message_count == 0
    assert numbers(database_url) == before


async def _session(service: Service, session_id: str) -> spb.Session:
    request = pb.GetSessionRequest(session_id=session_id)
    found: spb.Session = (await service.stub.GetSession(request)).session
    return found
