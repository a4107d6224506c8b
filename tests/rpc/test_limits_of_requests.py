"""The limits of requests, except of the session and the messages: ids, filters, pages, bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rpc_support import (
    CHANNEL_IDS,
    ID_CHARACTERS,
    MAX_INT32,
    MAX_INT64,
    METHODS,
    NAMING,
    all_pages,
    append,
    call,
    create,
    fresh_id,
    request,
    said,
)

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from support.service import Service

BAD_IDS = ("i" * 257, " ", "a b", "a\n", "\0", "a\0", "é", 'a"', "a'", "a`", "a\\", "a\x7f")
YEAR_1, YEAR_9999 = -62_135_596_800, 253_402_300_799
BAD_TIMES = {
    "before the year 1": Timestamp(seconds=YEAR_1 - 1),
    "after the year 9999": Timestamp(seconds=YEAR_9999 + 1),
    "out of all range": Timestamp(seconds=-(2**63)),
    "negative nanos": Timestamp(nanos=-1),
    "too many nanos": Timestamp(nanos=10**9),
}
SESSION_TIMES = (
    "create_time_after",
    "create_time_before",
    "last_activity_time_after",
    "last_activity_time_before",
)

COPYING = ("ForkSession", "ResetSession")

# The method, the violated path, the fields.
BAD: list[tuple[str, str, dict[str, Any]]] = [
    (
        "UpdateSession",
        "session.application_id",
        {"session": {"application_id": "a"}, "update_mask": {"paths": ["title"]}},
    ),
    ("UpdateSession", "update_mask.paths[0]", {"update_mask": {"paths": ["application_id"]}}),
    ("UpdateSession", "update_mask.paths[0]", {"update_mask": {"paths": ["user_id"]}}),
    ("UpdateSession", "update_mask.paths[0]", {"update_mask": {"paths": ["session_id"]}}),
    ("UpdateSession", "update_mask.paths[0]", {"update_mask": {"paths": ["etag"]}}),
    ("UpdateSession", "update_mask.paths[0]", {"update_mask": {"paths": [""]}}),
    ("UpdateSession", "update_mask.paths[0]", {"update_mask": {"paths": ["Title"]}}),
    ("UpdateSession", "update_mask.paths[0]", {"update_mask": {"paths": ["labels.a"]}}),
    ("UpdateSession", "update_mask.paths[0]", {"update_mask": {"paths": ["\0"]}}),
    ("UpdateSession", "update_mask.paths[1]", {"update_mask": {"paths": ["title", "message_count"]}}),
    ("UpdateSession", "update_mask.paths[1]", {"update_mask": {"paths": ["*", "nothing"]}}),
    ("ListSessions", "statuses[0]", {"statuses": [0]}),
    ("ListSessions", "statuses[1]", {"statuses": [1, 4]}),
    ("ListSessions", "statuses[0]", {"statuses": [-1]}),
    ("ListSessions", "labels", {"labels": {f"k{i}": "" for i in range(65)}}),
    ("ListSessions", "labels.key", {"labels": {"k" * 64: ""}}),
    ("ListSessions", "labels.key", {"labels": {"a\0": ""}}),
    ("ListSessions", "labels.value", {"labels": {"k": "v" * 257}}),
    ("ListSessions", "labels.value", {"labels": {"k": "\0"}}),
    ("ListSessions", "title_contains", {"title_contains": "t" * 201}),
    ("ListSessions", "title_contains", {"title_contains": "\0"}),
    *(("ListSessions", "application_id", {"application_id": bad}) for bad in ("a" * 257, "\0")),
    ("ListSessions", "order_by", {"order_by": 5}),
    ("ListSessions", "order_by", {"order_by": -1}),
    ("ListSessions", "page_size", {"page_size": -1}),
    *(("ListSessions", field, {field: bad}) for field in SESSION_TIMES for bad in BAD_TIMES.values()),
    ("AppendMessage", "message", {"message": None}),
    ("AppendMessage", "expected_last_sequence", {"expected_last_sequence": -1}),
    ("AppendMessage", "history.max_messages", {"history": {"max_messages": -1}}),
    ("AppendMessage", "history.token_budget", {"history": {"token_budget": -1}}),
    ("AppendMessages", "messages", {"messages": []}),
    ("AppendMessages", "messages", {"messages": [said()] * 501}),
    ("AppendMessages", "messages", {"messages": [said("x" * (1024 * 1024 - 9))] * 3 + [said("x" * 13)]}),
    ("AppendMessages", "messages[2].message_id", {"messages": [said(message_id=i) for i in "aba"]}),
    ("AppendMessages", "expected_last_sequence", {"expected_last_sequence": -1}),
    ("GetMessage", "key", {"sequence": None}),
    ("GetMessage", "sequence", {"sequence": 0}),
    ("GetMessage", "sequence", {"sequence": -1}),
    *(("GetMessage", "message_id", {"sequence": None, "message_id": bad}) for bad in ("", *BAD_IDS)),
    ("GetHistory", "max_messages", {"max_messages": -1}),
    ("GetHistory", "token_budget", {"token_budget": -1}),
    ("GetHistory", "before_sequence", {"before_sequence": -1}),
    ("ListMessages", "order_by", {"order_by": 3}),
    ("ListMessages", "after_sequence", {"after_sequence": -1}),
    ("ListMessages", "before_sequence", {"before_sequence": -1}),
    ("ListMessages", "roles[0]", {"roles": [0]}),
    ("ListMessages", "roles[1]", {"roles": [1, 6]}),
    ("ListMessages", "page_size", {"page_size": -1}),
    ("AppendMessages", "keep_through_sequence", {"keep_through_sequence": -1}),
    *((method, "new_session_id", {"new_session_id": "a b"}) for method in COPYING),
    *((method, "new_user_id", {"new_user_id": bad}) for method in COPYING for bad in ("u" * 257, "\0")),
    ("ForkSession", "through_sequence", {"through_sequence": -1}),
    ("TruncateMessages", "keep_through_sequence", {"keep_through_sequence": None}),
    ("TruncateMessages", "keep_through_sequence", {"keep_through_sequence": -1}),
    ("TruncateMessages", "expected_last_sequence", {"expected_last_sequence": -1}),
    *(("ListMessages", field, {field: bad}) for field in SESSION_TIMES[:2] for bad in BAD_TIMES.values()),
]

# For a session of one message, owned by "u".
GOOD: list[tuple[str, dict[str, Any]]] = [
    ("ListSessions", {"statuses": [1, 2, 3, 3], "labels": {"k" * 63: "v" * 256}}),
    ("ListSessions", {"labels": {f"k{i}": "" for i in range(64)}, "title_contains": "ü" * 200}),
    *(("ListSessions", {field: Timestamp(seconds=YEAR_1)}) for field in SESSION_TIMES),
    *(("ListSessions", {field: Timestamp(seconds=YEAR_9999, nanos=999_999_999)}) for field in SESSION_TIMES),
    ("ListSessions", {"page_size": MAX_INT32, "application_id": "😀" * 256}),
    *(("ListSessions", {"order_by": order}) for order in pb.SessionOrder.values()),
    ("AppendMessage", {"history": {"max_messages": MAX_INT32, "token_budget": MAX_INT32}}),
    ("AppendMessage", {"history": {"max_messages": 0, "token_budget": 0}}),
    ("AppendMessages", {"messages": [said()] * 500}),
    ("GetHistory", {"max_messages": MAX_INT32, "token_budget": MAX_INT32, "before_sequence": MAX_INT64}),
    ("GetHistory", {"max_messages": 0, "token_budget": 0, "before_sequence": 0}),
    ("ListMessages", {"after_sequence": MAX_INT64, "before_sequence": MAX_INT64, "page_size": MAX_INT32}),
    ("ListMessages", {"before_sequence": 0, "roles": [1, 2, 3, 4, 5, 5], "page_size": 1}),
    ("AppendMessages", {"keep_through_sequence": 0}),
    ("TruncateMessages", {"keep_through_sequence": 0, "expected_last_sequence": 1}),
    ("ListMessages", {"create_time_after": Timestamp(seconds=YEAR_1)}),
    ("ListMessages", {"create_time_before": Timestamp(seconds=YEAR_9999, nanos=999_999_999)}),
]


@pytest.mark.parametrize(("method", "path", "fields"), BAD)
async def test_a_field_beyond_its_limit_is_refused(
    shared: Service, method: str, path: str, fields: dict[str, Any]
) -> None:
    """A field beyond its limit is INVALID_ARGUMENT with the field's path, and no other path."""
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await call(shared, method, fresh_id(), **fields)
    assert list(failure.violations) == [path]


@pytest.mark.parametrize(("method", "fields"), GOOD)
async def test_a_field_at_its_limit_is_taken(shared: Service, method: str, fields: dict[str, Any]) -> None:
    """A field at its limit is accepted."""
    session_id = fresh_id()
    await append(shared, session_id, said(), new_session=spb.SessionFields())
    await call(shared, method, session_id, **fields)


@pytest.mark.parametrize("method", ["CreateSession", *NAMING])
async def test_a_session_id_has_its_characters(shared: Service, method: str) -> None:
    """A session_id with an invalid character, with more than 256, or missing where required is refused."""
    bad_ids = BAD_IDS if method == "CreateSession" else ("", *BAD_IDS)
    for bad in bad_ids:
        with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
            await call(shared, method, bad)
        assert list(failure.violations) == ["session_id"]


@pytest.mark.parametrize("session_id", ["-", ID_CHARACTERS, "%" * 256, *CHANNEL_IDS])
async def test_an_id_at_its_limits_names_a_session(service: Service, session_id: str) -> None:
    """An id of 1 to 256 of all its characters works in every method that names a session."""
    created = await create(service, session_id)
    assert created.session_id == session_id
    for method in ("AppendMessage", "AppendMessages", *(m for m in NAMING if m != "UndeleteSession")):
        if method != "DeleteSession":
            await call(service, method, session_id)
    assert (await call(service, "DeleteSession", session_id)).session.session_id == session_id
    assert (await call(service, "UndeleteSession", session_id)).session.session_id == session_id


@pytest.mark.parametrize("method", METHODS)
async def test_a_user_id_has_its_limit(shared: Service, method: str) -> None:
    """Every method refuses a user_id of more than 256 characters or with a NUL."""
    for bad in ("u" * 257, "\0"):
        with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
            await call(shared, method, fresh_id(), bad)
        assert list(failure.violations) == ["user_id"]


@pytest.mark.parametrize("method", METHODS)
async def test_a_user_id_at_its_limit_works(shared: Service, method: str) -> None:
    """Every method accepts a user_id of 256 characters."""
    session_id, user_id = fresh_id(), "😀" * 256
    if method != "CreateSession":
        await append(shared, session_id, said(), user_id=user_id, new_session=spb.SessionFields())
    if method == "UndeleteSession":
        await call(shared, "DeleteSession", session_id)
    await call(shared, method, session_id, user_id)


@pytest.mark.parametrize("fields", [{"session": {}}, {"session": {"title": "t"}, "update_mask": {}}])
async def test_an_update_needs_something_to_change(shared: Service, fields: dict[str, Any]) -> None:
    """UpdateSession without a mask and without a field, or with an empty mask, is refused."""
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await call(shared, "UpdateSession", fresh_id(), **fields)
    assert list(failure.violations) == ["update_mask"]


async def test_the_largest_batch_is_kept(shared: Service) -> None:
    """500 messages and 3 MiB less one byte are one batch."""
    session_id = fresh_id()
    messages = [mpb.Message(role=mpb.ROLE_USER, payload=b"x" * 6_000) for _ in range(500)]
    missing = 3 * 1024 * 1024 - 1 - sum(message.ByteSize() for message in messages)
    messages[0].payload += b"y" * (missing - 1)
    assert sum(message.ByteSize() for message in messages) == 3 * 1024 * 1024 - 1
    answer = await append(shared, session_id, *messages, new_session=spb.SessionFields())
    assert [message.payload for message in answer.messages] == [message.payload for message in messages]


async def test_a_page_above_the_cap_is_the_cap(shared: Service) -> None:
    """0 means pages of 50; a value above 1,000 means 1,000."""
    session_id = fresh_id()
    for _ in range(3):
        await append(shared, session_id, *[said("x")] * 350, new_session=spb.SessionFields())
    for page_size, expected in ((0, 50), (1_000, 1_000), (1_001, 1_000), (MAX_INT32, 1_000)):
        listing = request("ListMessages", session_id, page_size=page_size)
        first = await anext(all_pages(shared.stub.ListMessages, listing))
        assert len(first.messages) == expected
