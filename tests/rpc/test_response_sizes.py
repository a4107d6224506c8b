"""No response is larger than 3.5 MiB, and none leaves out anything to stay below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import all_pages, append, call, create, fresh_id, request, said

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb

if TYPE_CHECKING:
    from support.service import Service

MIB = 1024 * 1024
MAX_RESPONSE_BYTES = 3 * MIB + MIB // 2
NEW = spb.SessionFields()
ASCENDING = (pb.SESSION_ORDER_LAST_ACTIVITY_TIME_ASC, pb.SESSION_ORDER_CREATE_TIME_ASC)

# Messages whose size is in one field each, and which grow most by the fields that the server adds.
BULKS: dict[str, mpb.Message] = {
    "content": said("ü" * (MIB // 2 - 20)),
    "payload": mpb.Message(role=mpb.ROLE_USER, payload=b"\0" * (MIB - 20)),
    "metadata": said(None, metadata=f'{{"a":"{"é" * 32_000}"}}', payload=b"\xff" * 950_000),
    "parts": said(None, parts=[{"media": {"data": b"\xff" * 4_000}}] * 256),
    "reasoning": said(None, parts=[{"reasoning": {"text": '"' * 2_000, "opaque": "\\" * 2_000}}] * 256),
    "tool calls": said(None, tool_calls=[{"name": "f", "arguments": '"\\' * 4_000}] * 128),
}


async def _pages(service: Service, method: str, **fields: Any) -> list[Any]:
    """Return all pages, each small enough for gRPC's default limit."""
    listing = request(method, fields.pop("session_id", ""), page_size=1_000, **fields)
    pages = [page async for page in all_pages(getattr(service.stub, method), listing)]
    assert all(page.ByteSize() <= MAX_RESPONSE_BYTES for page in pages)
    return pages


@pytest.mark.parametrize("bulk", BULKS.values(), ids=BULKS)
async def test_pages_of_large_messages(shared: Service, bulk: mpb.Message) -> None:
    """A page ends before the message that would exceed the limit; all messages come once, both ways."""
    session_id = fresh_id()
    for _ in range(9):
        await call(shared, "AppendMessage", session_id, message=bulk, new_session=NEW)
    for order, expected in (("ASC", range(1, 10)), ("DESC", range(9, 0, -1))):
        order_by = pb.MessageOrder.Value(f"MESSAGE_ORDER_SEQUENCE_{order}")
        pages = await _pages(shared, "ListMessages", session_id=session_id, order_by=order_by)
        sequences = [message.sequence for page in pages for message in page.messages]
        assert sequences == list(expected)
        assert [len(page.messages) for page in pages] == [3, 3, 3]


async def test_pages_of_messages_that_grow(shared: Service) -> None:
    """Messages that grow most by the server's fields fill pages of 1,000; mixed sizes fit too."""
    session_id = fresh_id()
    tiny = mpb.Message(role=mpb.ROLE_USER)
    for size in (0, 200_000, 3_000, 0, 700_000, 90_000):
        large = mpb.Message(role=mpb.ROLE_USER, payload=b"x" * size)
        await append(shared, session_id, *[tiny] * 300, large, *[tiny] * 199, new_session=NEW)
    pages = await _pages(shared, "ListMessages", session_id=session_id)
    assert [message.sequence for page in pages for message in page.messages] == list(range(1, 3_001))
    assert [len(page.messages) for page in pages] == [1_000] * 3


async def test_a_full_page_is_almost_the_limit(shared: Service) -> None:
    """The bound on a message's size is tight: pages are not much smaller than the limit."""
    session_id = fresh_id()
    message = mpb.Message(role=mpb.ROLE_USER, payload=b"x" * 7_000)
    for _ in range(3):
        await append(shared, session_id, *[message] * 400, new_session=NEW)
    pages = await _pages(shared, "ListMessages", session_id=session_id)
    assert sum(len(page.messages) for page in pages) == 1_200
    assert pages[0].ByteSize() > 0.97 * MAX_RESPONSE_BYTES


@pytest.mark.parametrize("order", pb.SessionOrder.values()[1:])
async def test_pages_of_large_sessions(service: Service, order: pb.SessionOrder) -> None:
    """A page of sessions ends before 3.5 MiB; all sessions come once, in every order."""
    fields: dict[str, Any] = {
        "user_id": "😀" * 256,
        "application_id": "😀" * 256,
        "title": "😀" * 500,
        "model": "😀" * 256,
        "labels": {f"{number:063}": "😀" * 256 for number in range(64)},
        "metadata": f'{{"a":"{"é" * 32_000}"}}',
        "state": f'{{"a":"{"é" * 131_000}"}}',
    }
    for number in range(24):
        await create(service, f"s{number}", **fields)
    pages = await _pages(service, "ListSessions", order_by=order)
    listed = [session.session_id for page in pages for session in page.sessions]
    latest_first = [f"s{number}" for number in range(23, -1, -1)]
    assert listed == latest_first[:: -1 if order in ASCENDING else 1]
    assert len(pages[0].sessions) >= 8


async def test_a_page_of_a_thousand_sessions(service: Service) -> None:
    """A thousand ordinary sessions are one page."""
    for number in range(1_001):
        await create(service, f"s{number}", title="t" * 100)
    assert [len(page.sessions) for page in await _pages(service, "ListSessions")] == [1_000, 1]


@pytest.mark.parametrize("count", [500, 4])
async def test_the_answer_to_the_largest_batch(shared: Service, count: int) -> None:
    """The answer to a batch of 3 MiB has all messages and fits a client's limit; so does a retry's."""
    size = 3 * MIB // count - 278
    messages = [
        mpb.Message(role=mpb.ROLE_USER, payload=b"x" * size, message_id=f"{n:0256}") for n in range(count)
    ]
    assert sum(message.ByteSize() for message in messages) > 3 * MIB - 10_000
    session_id = "s" * 224 + fresh_id()
    for _ in range(2):
        answer = await append(shared, session_id, *messages, new_session=NEW)
        assert answer.ByteSize() <= MAX_RESPONSE_BYTES
        assert [message.message_id for message in answer.messages] == [m.message_id for m in messages]


@pytest.mark.parametrize("pinned", [False, True])
async def test_an_append_and_its_window_share_the_limit(shared: Service, *, pinned: bool) -> None:
    """The answer with a message of 1 MiB and the window after it is below 3.5 MiB."""
    session_id, large = fresh_id(), mpb.Message(role=mpb.ROLE_USER, payload=b"x" * (MIB - 100), pinned=pinned)
    for number in range(1, 7):
        answer = await call(shared, "AppendMessage", session_id, message=large, new_session=NEW, history={})
        assert answer.ByteSize() <= MAX_RESPONSE_BYTES
        assert len(answer.history.messages) == min(number, 2)
    window = await call(shared, "GetHistory", session_id)
    assert window.ByteSize() <= MAX_RESPONSE_BYTES
    assert len(window.history.messages) == 3
