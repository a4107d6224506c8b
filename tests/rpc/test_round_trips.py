"""Every method that stores a message and every method that reads it keep it byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rpc_support import append, call, fresh_id, stored, without

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_pb2 as spb

if TYPE_CHECKING:
    from support.service import Service

pytestmark = pytest.mark.pooled

NEW = spb.SessionFields()

# Text that JSON, SQL, COPY, LIKE, %-formats and careless decoders may misread.
NASTY = (
    "\t\r\n\x01\x1b\x7f\x80\x85\xa0\u2028\u2029\ufeff\ufffe\uffff😀e\u0301é"
    "\\ \\u0000 \\x00 \\N '' \" $$ %s %(a)s {} {{}} -- /* ; \\. null NULL {a,b} <b>&amp; \u202e"
)

FULL: dict[str, Any] = {
    "message_id": "A-Za-z0-9._:@/-",
    "role": mpb.ROLE_ASSISTANT,
    "name": NASTY,
    "content": NASTY * 50,
    "tool_calls": [
        {"id": "same", "name": NASTY, "arguments": '{"a":  1.0, "a": 12345678901234567890}'},
        {"id": "same", "name": "f", "arguments": NASTY},
        {"id": "", "name": "f", "arguments": ""},
    ],
    "tool_call_id": NASTY,
    "parts": [
        {"text": NASTY},
        {"text": ""},
        {"json": ' {"b":1e400 , "a":-0.0,"a":[null,"\\ud800\\u0000"]}\n'},
        {"json": "null"},
        {"media": {"mime_type": "image/png", "uri": "https://example.org/?a=1&b=%00#x"}},
        {"media": {"mime_type": "", "data": bytes(range(256))}},
        {"media": {"mime_type": NASTY, "data": b""}},
        {"reasoning": {"text": NASTY, "opaque": NASTY, "signature": NASTY}},
        {"reasoning": {"text": NASTY}},
        {"reasoning": {"opaque": "AbC+/=="}},
        {"reasoning": {"opaque": " ", "signature": "\t"}},
    ],
    "payload": bytes(range(256)) * 3,
    "payload_type": NASTY,
    "metadata": ' {"b" : 1.0, "a":12345678901234567890, "b":"\\u00e9é"}\t',
    "model": NASTY,
    "provider": NASTY,
    "finish_reason": NASTY,
    "usage": {"input_tokens": 0, "output_tokens": 1, "cache_read_tokens": 2, "cache_write_tokens": 3},
    "token_count": 0,
    "status": mpb.MESSAGE_STATUS_INTERRUPTED,
    "turn_id": NASTY[:128],
    "send_time": Timestamp(seconds=-1, nanos=123_456_789),
}
PINNED = {name: value for name, value in FULL.items() if name != "tool_calls"} | {"pinned": True}

# Each entry leaves one field out, or makes it empty.
LESS: dict[str, dict[str, Any]] = {
    **{f"no {name}": {name: None} for name in FULL if name not in ("message_id", "role")},
    **{f"empty {name}": {name: ""} for name in ("name", "content", "tool_call_id", "metadata", "turn_id")},
    "empty payload": {"payload": b""},
    "no tool calls": {"tool_calls": []},
    "no parts": {"parts": []},
    "send_time at the epoch": {"send_time": Timestamp()},
    **{
        f"usage of {name} alone": {"usage": {name: 0}}
        for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    },
    "arguments empty": {"tool_calls": [{"name": "f"}]},
    "status by default": {"status": 0},
}
MESSAGES: dict[str, dict[str, Any]] = {
    "every field": FULL,
    "pinned": PINNED,
    "nothing but a role": {"role": mpb.ROLE_TOOL},
    "a user's tool calls": {"role": mpb.ROLE_USER, "tool_calls": FULL["tool_calls"]},
    **{what: FULL | less for what, less in LESS.items()},
}


async def _ways_out(service: Service, session_id: str) -> list[mpb.Message]:
    """Return the only message of a session by all methods that read one."""
    (listed,) = await stored(service, session_id)
    by_id = await call(service, "GetMessage", session_id, sequence=None, message_id=listed.message_id)
    by_sequence = await call(service, "GetMessage", session_id, sequence=1)
    (in_list,) = (await call(service, "ListMessages", session_id, order_by=2)).messages
    # No window has a TOOL message without its call.
    windows = list((await call(service, "GetHistory", session_id)).history.messages)
    return [listed, by_id.message, by_sequence.message, in_list, *windows]


@pytest.mark.parametrize("fields", [pytest.param(fields, id=what) for what, fields in MESSAGES.items()])
async def test_a_message_comes_out_as_it_went_in(shared: Service, fields: dict[str, Any]) -> None:
    """A message that is stored by any method is the same in every answer, with the server's fields."""
    sent = mpb.Message(**fields)
    for method in ("AppendMessage", "AppendMessages"):
        session_id = fresh_id()
        own = {"message": sent} if method == "AppendMessage" else {"messages": [sent]}
        answer = await call(shared, method, session_id, **own, new_session=NEW)
        returned = answer.message if method == "AppendMessage" else answer.messages[0]
        ways_out = await _ways_out(shared, session_id)
        assert len(ways_out) == (4 if sent.role == mpb.ROLE_TOOL else 5)
        assert all(message == returned for message in ways_out)
        assert _as_sent(returned, sent) == sent
        assert returned.sequence == 1
        assert returned.message_id
        assert returned.HasField("create_time")
        assert returned.HasField("token_count")
        assert returned.status == (sent.status or mpb.MESSAGE_STATUS_COMPLETE)


def _as_sent(returned: mpb.Message, sent: mpb.Message) -> mpb.Message:
    """Return a message without the fields that the server has set because the caller had not."""
    added = [name for name in ("message_id", "status") if not getattr(sent, name)]
    added += [] if sent.HasField("token_count") else ["token_count"]
    return without(returned, "sequence", "create_time", *added)


async def test_null_and_empty_content_are_kept_apart(shared: Service) -> None:
    """Null content stays null, and empty content stays empty."""
    session_id = fresh_id()
    null, empty = mpb.Message(role=mpb.ROLE_USER), mpb.Message(role=mpb.ROLE_USER, content="")
    await append(shared, session_id, null, empty, null, new_session=NEW)
    assert [message.HasField("content") for message in await stored(shared, session_id)] == [
        False,
        True,
        False,
    ]


async def test_the_neighbours_in_a_batch_do_not_mix(shared: Service) -> None:
    """Each message of a batch keeps its own fields, and a null beside another message's value."""
    session_id = fresh_id()
    kinds = [MESSAGES["every field"], MESSAGES["nothing but a role"], PINNED, MESSAGES["no usage"]]
    sent = [mpb.Message(**fields | {"message_id": f"m{n}"}) for n, fields in enumerate(kinds * 3)]
    await append(shared, session_id, *sent, new_session=NEW)
    assert [_as_sent(m, s) for m, s in zip(await stored(shared, session_id), sent, strict=True)] == sent


async def test_an_unknown_field_is_not_kept(shared: Service) -> None:
    """A field that the server does not know is dropped, and affects neither the rest nor a retry."""
    session_id, known = fresh_id(), mpb.Message(role=mpb.ROLE_USER, content="c", message_id="m")
    unknown = mpb.Message.FromString(known.SerializeToString() + b"\xfa\xff\x07\x01x")
    first = await append(shared, session_id, unknown, new_session=NEW)
    assert _as_sent(first.messages[0], known) == known
    assert (await append(shared, session_id, known)).messages == first.messages
