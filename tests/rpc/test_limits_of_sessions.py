"""The limit of each field of a session, in every request that carries one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from rpc_support import MAX_INT32, call, create, fresh_id, get, nested

from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from support.service import Service

KIB = 1024
YEAR_9000 = 221_845_392_000
CENTURY = 100 * 365 * 24 * 3600

CARRIERS = {
    "CreateSession": "session",
    "UpdateSession": "session",
    "AppendMessage": "new_session",
    "AppendMessages": "new_session",
}

GOOD: dict[str, dict[str, Any]] = {
    "title of 500": {"title": "😀" * 500},
    "model of 256": {"model": "ü" * 256},
    "64 labels": {"labels": {f"k{i}": "" for i in range(64)}},
    "label key of 63": {"labels": {"A-Za-z0-9._:@/-".ljust(63, "k"): "v"}},
    "label value of 256": {"labels": {"k": "😀" * 256}},
    "metadata of 64 KiB": {"metadata": '{"a":"%s"}' % ("ü" * (32 * KIB - 4))},
    "state of 256 KiB": {"state": '{"a":"%s"}' % ("x" * (256 * KIB - 8))},
    "empty objects": {"metadata": " {} ", "state": "{\n}"},
    "any JSON inside": {"state": '{"n":-0.0e+99,"big":%s,"l":[null,true,"\\ud800\\u0000"]}' % ("9" * 5_000)},
    "100 levels": {"metadata": nested(99), "state": '{"]":"[[\\"[["}'},
    "a key twice": {"metadata": '{"a":1,"a":2}'},
    "no messages in windows": {"history_settings": {"max_messages": 0, "token_budget": 0}},
    "largest settings": {"history_settings": {"max_messages": MAX_INT32, "token_budget": MAX_INT32}},
    "expires at the end of 8999": {
        "expire_time": Timestamp(seconds=YEAR_9000 - 1, nanos=999_999_000),
    },
}

NO_OBJECTS = {
    "an array": "[]",
    "a string": '"a"',
    "a number": "1",
    "null": "null",
    "no JSON": "{",
    "single quotes": "{'a': 1}",
    "trailing garbage": "{} x",
    "two objects": "{}{}",
    "a trailing comma": '{"a":1,}',
    "NaN": '{"a":NaN}',
    "Infinity": '{"a":-Infinity}',
    "a NUL": '{"a":"\0"}',
    "a NUL outside": "{}\0",
    "a raw control character": '{"a":"\n"}',
    "blanks": "  ",
    "too deep": nested(100),
    "far too deep": nested(30_000),
    "unclosed and too deep": '{"a":' * 10_000,
}

BAD: list[tuple[str, str, dict[str, Any]]] = [
    ("title of 501", "title", {"title": "t" * 501}),
    ("title with NUL", "title", {"title": "\0"}),
    ("model of 257", "model", {"model": "m" * 257}),
    ("model with NUL", "model", {"model": "m\0m"}),
    ("unknown status", "status", {"status": 99}),
    ("negative status", "status", {"status": -1}),
    ("65 labels", "labels", {"labels": {f"k{i}": "" for i in range(65)}}),
    ("label key of 64", "labels.key", {"labels": {"k" * 64: ""}}),
    ("label key of 129", "labels.key", {"labels": {"k" * 129: ""}}),
    ("empty label key", "labels.key", {"labels": {"": "v"}}),
    ("blank in a label key", "labels.key", {"labels": {"a b": "v"}}),
    ("letter beyond ASCII in a label key", "labels.key", {"labels": {"ä": "v"}}),
    ("newline after a label key", "labels.key", {"labels": {"a\n": "v"}}),
    ("NUL in a label key", "labels.key", {"labels": {"a\0": "v"}}),
    ("label value of 257", "labels.value", {"labels": {"k": "v" * 257}}),
    ("NUL in a label value", "labels.value", {"labels": {"k": "\0"}}),
    ("metadata over 64 KiB", "metadata", {"metadata": '{"a":"%s"}' % ("x" * (64 * KIB - 7))}),
    ("metadata over 64 KiB in bytes", "metadata", {"metadata": '{"a":"%s"}' % ("ü" * (32 * KIB - 3))}),
    ("state over 256 KiB", "state", {"state": '{"a":"%s"}' % ("x" * (256 * KIB - 7))}),
    *((f"metadata: {what}", "metadata", {"metadata": text}) for what, text in NO_OBJECTS.items()),
    *((f"state: {what}", "state", {"state": text}) for what, text in NO_OBJECTS.items()),
    ("state: 100,000 deep", "state", {"state": nested(100_000)}),
    ("negative max_messages", "history_settings.max_messages", {"history_settings": {"max_messages": -1}}),
    ("negative token_budget", "history_settings.token_budget", {"history_settings": {"token_budget": -1}}),
    ("expired at once", "expire_time", {"expire_time": Timestamp(seconds=1_700_000_000)}),
    ("expires in 9000", "expire_time", {"expire_time": Timestamp(seconds=YEAR_9000)}),
    ("expires before the year 1", "expire_time", {"expire_time": Timestamp(seconds=-62_135_596_801)}),
    ("expires out of all range", "expire_time", {"expire_time": Timestamp(seconds=2**63 - 1)}),
    ("negative nanos", "expire_time", {"expire_time": Timestamp(seconds=YEAR_9000 - 9, nanos=-1)}),
    ("too many nanos", "expire_time", {"expire_time": Timestamp(seconds=YEAR_9000 - 9, nanos=10**9)}),
    ("ttl of 0", "ttl", {"ttl": Duration()}),
    ("ttl below a second", "ttl", {"ttl": Duration(nanos=999_999_999)}),
    ("negative ttl", "ttl", {"ttl": Duration(seconds=-5)}),
    ("ttl over a century", "ttl", {"ttl": Duration(seconds=CENTURY + 1)}),
    ("ttl a nanosecond over a century", "ttl", {"ttl": Duration(seconds=CENTURY, nanos=1)}),
    ("ttl out of all range", "ttl", {"ttl": Duration(seconds=2**63 - 1)}),
    ("ttl with negative nanos", "ttl", {"ttl": Duration(seconds=5, nanos=-1)}),
    ("ttl with too many nanos", "ttl", {"ttl": Duration(seconds=5, nanos=10**9)}),
]


async def _carry(service: Service, method: str, session_id: str, **fields: Any) -> None:
    """Call a method with a session of the given fields."""
    if method == "UpdateSession":
        fields = {"title": "changed"} | fields
    carried: dict[str, Any] = {CARRIERS[method]: spb.SessionFields(**fields)}
    await call(service, method, session_id, **carried)


@pytest.mark.parametrize("method", CARRIERS)
@pytest.mark.parametrize("fields", [pytest.param(fields, id=what) for what, fields in GOOD.items()])
async def test_a_session_at_its_limits_is_kept_as_it_is(
    shared: Service, method: str, fields: dict[str, Any]
) -> None:
    """A field at its limit is accepted and comes back unchanged."""
    session_id = fresh_id()
    if method == "UpdateSession":
        await create(shared, session_id)
    await _carry(shared, method, session_id, **fields)
    expected, found = spb.SessionFields(**fields), await get(shared, session_id)
    for field in fields:
        assert getattr(found, field) == getattr(expected, field)


@pytest.mark.parametrize("method", CARRIERS)
@pytest.mark.parametrize(("path", "fields"), [pytest.param(p, f, id=what) for what, p, f in BAD])
async def test_a_session_beyond_its_limits_is_refused(
    shared: Service, method: str, path: str, fields: dict[str, Any]
) -> None:
    """A field beyond its limit is INVALID_ARGUMENT with the field's path, and no other path."""
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await _carry(shared, method, fresh_id(), **fields)
    assert list(failure.violations) == [f"{CARRIERS[method]}.{path}"]


@pytest.mark.parametrize("method", CARRIERS)
@pytest.mark.parametrize("ttl", [Duration(seconds=1), Duration(seconds=CENTURY)], ids=["second", "century"])
async def test_a_ttl_at_its_limits_becomes_an_expiry(shared: Service, method: str, ttl: Duration) -> None:
    """A ttl of 1 second or 100 years is accepted; expire_time comes back."""
    session_id = fresh_id()
    if method == "UpdateSession":
        await create(shared, session_id)
    await _carry(shared, method, session_id, ttl=ttl)
    listed = (await call(shared, "ListSessions", "", show_deleted=True, order_by=2, page_size=1_000)).sessions
    found = next(session for session in listed if session.session_id == session_id)
    since = found.update_time.ToMicroseconds()
    assert found.expire_time.ToMicroseconds() - since == ttl.seconds * 1_000_000


@pytest.mark.parametrize("status", ["ACTIVE", "COMPLETED", "ABANDONED"])
async def test_a_session_takes_each_status(shared: Service, status: str) -> None:
    """CreateSession accepts each known status; 0 means ACTIVE."""
    number = spb.SessionStatus.Value(f"SESSION_STATUS_{status}")
    session = await create(shared, fresh_id(), status=number)
    assert session.status == number
    assert session.HasField("end_time") == (status != "ACTIVE")
    assert (await create(shared, fresh_id())).status == spb.SESSION_STATUS_ACTIVE


@pytest.mark.parametrize("method", ["AppendMessage", "AppendMessages"])
@pytest.mark.parametrize("status", [spb.SESSION_STATUS_COMPLETED, spb.SESSION_STATUS_ABANDONED])
async def test_an_append_makes_no_session_that_takes_no_messages(
    shared: Service, method: str, status: spb.SessionStatus
) -> None:
    """new_session.status must be ACTIVE."""
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await _carry(shared, method, fresh_id(), status=status)
    assert list(failure.violations) == ["new_session.status"]
