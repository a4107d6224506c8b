"""Lists of messages: ranges, both directions, filters, and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from rpc_support import all_pages, append, call, fresh_id, request, said, stored

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.databases import execute

if TYPE_CHECKING:
    from support.service import Service

SYSTEM, USER, ASSISTANT, TOOL = mpb.ROLE_SYSTEM, mpb.ROLE_USER, mpb.ROLE_ASSISTANT, mpb.ROLE_TOOL
ROLES = [SYSTEM, TOOL, USER, ASSISTANT, TOOL, TOOL, USER, ASSISTANT, USER]
ALL = list(range(1, 10))
DESC = pb.MESSAGE_ORDER_SEQUENCE_DESC
ORDERS = [pb.MESSAGE_ORDER_UNSPECIFIED, pb.MESSAGE_ORDER_SEQUENCE_ASC, DESC]

# The filters, and the sequences that pass them; message n was stored n seconds after the epoch.
FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, ALL),
    ({"after_sequence": 3}, [4, 5, 6, 7, 8, 9]),
    ({"after_sequence": 9}, []),
    ({"after_sequence": 2**63 - 1}, []),
    ({"before_sequence": 4}, [1, 2, 3]),
    ({"before_sequence": 1}, []),
    ({"before_sequence": 0}, []),
    ({"before_sequence": 99}, ALL),
    ({"after_sequence": 3, "before_sequence": 6}, [4, 5]),
    ({"after_sequence": 3, "before_sequence": 4}, []),
    ({"after_sequence": 6, "before_sequence": 3}, []),
    ({"roles": [TOOL]}, [2, 5, 6]),
    ({"roles": [SYSTEM, ASSISTANT, SYSTEM]}, [1, 4, 8]),
    ({"roles": [mpb.ROLE_DEVELOPER]}, []),
    ({"create_time_after": Timestamp(seconds=7)}, [8, 9]),
    ({"create_time_after": Timestamp(seconds=7, nanos=1)}, [8, 9]),
    ({"create_time_after": Timestamp(seconds=6, nanos=999_999_999)}, [7, 8, 9]),
    ({"create_time_before": Timestamp(seconds=3)}, [1, 2]),
    ({"create_time_before": Timestamp(seconds=3, nanos=1)}, [1, 2, 3]),
    ({"create_time_after": Timestamp(seconds=2), "create_time_before": Timestamp(seconds=5)}, [3, 4]),
    ({"create_time_before": Timestamp(seconds=0)}, []),
    ({"roles": [USER, TOOL], "after_sequence": 2, "create_time_before": Timestamp(seconds=7)}, [3, 5, 6]),
]


@pytest_asyncio.fixture
async def talk(service: Service, database_url: str) -> Service:
    """A service with a session "s" of nine messages, with orphan tool results and a pinned message."""
    messages = [said(f"{n}", role=role, pinned=n == 3) for n, role in enumerate(ROLES, start=1)]
    await append(service, "s", *messages, user_id="u", new_session=spb.SessionFields())
    await append(service, "other", said("other"), new_session=spb.SessionFields())
    execute(database_url, "update messages set create_time = to_timestamp(sequence)")
    return service


async def _list(service: Service, session_id: str = "s", **fields: Any) -> list[list[int]]:
    """Return the sequences of all pages."""
    listing = request("ListMessages", session_id, **fields)
    pages = [page async for page in all_pages(service.stub.ListMessages, listing)]
    return [[message.sequence for message in page.messages] for page in pages]


async def test_filters_alone_and_together_in_both_directions(talk: Service) -> None:
    """A list has the messages that pass all filters, by sequence in either direction, in full pages."""
    for fields, expected in FILTERS:
        for order in ORDERS:
            wanted = expected[::-1] if order == DESC else expected
            for page_size in (1, 2, 3, 1_000):
                pages = [wanted[i : i + page_size] for i in range(0, len(wanted), page_size)] or [[]]
                listed = await _list(talk, order_by=order, page_size=page_size, **fields)
                assert listed == pages, (fields, order)


async def test_nothing_is_trimmed_or_repaired(talk: Service) -> None:
    """Every message is listed as GetMessage returns it, by sequence and by id."""
    messages = await stored(talk)
    assert [message.content for message in messages] == [f"{n}" for n in ALL]
    for message in messages:
        by_sequence = await call(talk, "GetMessage", "s", sequence=message.sequence)
        by_id = await call(talk, "GetMessage", "s", sequence=None, message_id=message.message_id)
        assert by_sequence.message == by_id.message == message


async def test_an_empty_session_is_an_empty_page(service: Service) -> None:
    """A session without messages is one empty page, in both directions."""
    await call(service, "CreateSession", "s")
    for order in ORDERS:
        assert await _list(service, order_by=order) == [[]]


@pytest.mark.parametrize("order", ORDERS)
async def test_pages_stay_right_while_messages_come(shared: Service, order: pb.MessageOrder) -> None:
    """An append between pages is at the end of an ascending list, and not in a descending one.

    No message comes twice.
    """
    session_id = fresh_id()
    await append(shared, session_id, *[said()] * 7, new_session=spb.SessionFields())
    seen: list[int] = []
    listing = request("ListMessages", session_id, order_by=order, page_size=2)
    async for page in all_pages(shared.stub.ListMessages, listing):
        seen += [message.sequence for message in page.messages]
        if len(seen) < 8:
            await append(shared, session_id, said())
    assert seen == (ALL[6::-1] if order == DESC else list(range(1, len(seen) + 1)))
    assert len(seen) == (7 if order == DESC else 10)


async def test_the_default_page_is_fifty(shared: Service) -> None:
    """0 means a page of 50, and pages of one list may differ in size."""
    session_id = fresh_id()
    await append(shared, session_id, *[said()] * 60, new_session=spb.SessionFields())
    assert [len(page) for page in await _list(shared, session_id)] == [50, 10]
    assert [len(page) for page in await _list(shared, session_id, page_size=30)] == [30, 30]
    first = await call(shared, "ListMessages", session_id, page_size=1)
    rest = await call(shared, "ListMessages", session_id, page_size=100, page_token=first.next_page_token)
    assert [message.sequence for message in rest.messages] == list(range(2, 61))
    assert rest.next_page_token == ""


async def test_a_message_can_be_found_by_any_id(shared: Service) -> None:
    """GetMessage finds the ids that the server made, within their own session only."""
    session_ids = fresh_id(), fresh_id()
    for session_id in session_ids:
        await append(shared, session_id, said(session_id), new_session=spb.SessionFields())
    for session_id in session_ids:
        (message,) = await stored(shared, session_id)
        found = await call(shared, "GetMessage", session_id, sequence=None, message_id=message.message_id)
        assert found.message.content == session_id
