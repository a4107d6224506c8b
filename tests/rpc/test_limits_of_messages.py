"""The limit of each field of a message, in an append of one and in a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rpc_support import (
    CHANNEL_IDS,
    ID_CHARACTERS,
    MAX_INT32,
    append,
    call,
    fresh_id,
    nested,
    said,
    stored,
    without,
)

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from support.service import Service

MIB = 1024 * 1024
FROM_1678 = -9_214_560_000
FROM_2262 = 9_214_646_400
NAMES = ("name", "payload_type", "model", "provider", "finish_reason")
USAGE = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def _call(**fields: Any) -> dict[str, Any]:
    return {"tool_calls": [mpb.ToolCall(**{"name": "f"} | fields)]}


def _part(**fields: Any) -> dict[str, Any]:
    return {"parts": [mpb.Part(**fields)]}


def _media(**fields: Any) -> dict[str, Any]:
    return _part(media=mpb.Media(**fields))


def _reasoning(**fields: Any) -> dict[str, Any]:
    return _part(reasoning=mpb.Reasoning(**fields))


GOOD: dict[str, dict[str, Any]] = {
    "message_id of 1": {"message_id": "-"},
    "message_id of all its characters": {"message_id": ID_CHARACTERS},
    "message_id of 256": {"message_id": "i" * 256},
    **{f"message_id {given}": {"message_id": given} for given in (*CHANNEL_IDS, "wamid.HBgLMTU1NTAxMDA=")},
    **{f"{name} of 256": {name: "😀" * 256} for name in NAMES},
    "turn_id of 128": {"turn_id": "ü" * 128},
    "content empty": {"content": ""},
    "content of control characters": {"content": "\x01\x1f\x7f\u2028\ufeff\uffff"},
    "metadata of 64 KiB": {"metadata": f'{{"a":"{"x" * (65_536 - 8)}"}}'},
    "payload of all bytes": {"payload": bytes(range(256))},
    "token_count of 0": {"token_count": 0},
    "token_count at most": {"token_count": MAX_INT32},
    **{f"{name} of 0": {"usage": {name: 0}} for name in USAGE},
    **{f"{name} at most": {"usage": {name: MAX_INT32}} for name in USAGE},
    "the first send_time": {"send_time": Timestamp(seconds=FROM_1678)},
    "the last send_time": {"send_time": Timestamp(seconds=FROM_2262 - 1, nanos=999_999_999)},
    "128 tool calls": {"tool_calls": [mpb.ToolCall(name="f")] * 128},
    "tool call of empty texts": _call(id="", arguments=""),
    "tool call of no JSON": _call(arguments='{"a": \ud7ff'),
    "tool call's id of 8,192": _call(id="ü" * 8_192),
    "tool_call_id of 8,192": {"tool_call_id": "😀" * 8_192},
    "tool call's name of 256": _call(name="ü" * 256),
    "256 parts": {"parts": [mpb.Part(text="")] * 256},
    "media type of 256": _media(mime_type="ü" * 256, data=b""),
    "uri of 1": _media(uri="u"),
    "uri of 8,192": _media(uri="ü" * 8_192),
    "media of all bytes": _media(data=bytes(range(256))),
    **{
        f"json part: {json[:20]}": _part(json=json)
        for json in ("null", "0", ' "a" ', "[]", "-1.50E-400", "9" * 5_000, '{"a":1,"a":1}', '"\\ud800"')
    },
    "reasoning of text": _reasoning(text="ü" * 100_000),
    "reasoning of an opaque form": _reasoning(opaque="x" * 500_000),
    "reasoning of both, signed": _reasoning(text="t", opaque="o", signature="s" * 100_000),
    "reasoning of blanks": _reasoning(text=" ", opaque="\n"),
    "pinned by the system": {"role": mpb.ROLE_SYSTEM, "pinned": True},
    **{f"role {role}": {"role": role} for role in mpb.Role.values() if role},
    **{f"status {status}": {"status": status} for status in mpb.MessageStatus.values() if status},
}

BAD: list[tuple[str, str, dict[str, Any]]] = [
    ("message_id of 257", "message_id", {"message_id": "i" * 257}),
    *(
        (f"message_id {bad!r}", "message_id", {"message_id": bad})
        for bad in (" ", "a b", "a\n", "é", "a\0", 'a"', "a'", "`", "\\", "a\x7f")
    ),
    *((f"{name} of 257", name, {name: "n" * 257}) for name in NAMES),
    *((f"{name} with NUL", name, {name: "n\0"}) for name in NAMES),
    ("tool_call_id of 8,193", "tool_call_id", {"tool_call_id": "i" * 8_193}),
    ("tool_call_id with NUL", "tool_call_id", {"tool_call_id": "\0"}),
    ("turn_id of 129", "turn_id", {"turn_id": "t" * 129}),
    ("turn_id with NUL", "turn_id", {"turn_id": "\0"}),
    ("content with NUL", "content", {"content": "a\0b"}),
    ("no role", "role", {"role": 0}),
    ("unknown role", "role", {"role": 6}),
    ("negative role", "role", {"role": -1}),
    ("unknown status", "status", {"status": 3}),
    ("metadata over 64 KiB", "metadata", {"metadata": f'{{"a":"{"x" * (65_536 - 7)}"}}'}),
    ("metadata an array", "metadata", {"metadata": "[]"}),
    ("metadata no JSON", "metadata", {"metadata": '{"a"}'}),
    ("metadata with NaN", "metadata", {"metadata": '{"a":NaN}'}),
    ("metadata with NUL", "metadata", {"metadata": '{"\0":1}'}),
    ("metadata too deep", "metadata", {"metadata": nested(30_000)}),
    ("negative token_count", "token_count", {"token_count": -1}),
    *((f"negative {name}", f"usage.{name}", {"usage": {name: -1}}) for name in USAGE),
    ("usage without a field", "usage", {"usage": {}}),
    (
        "send_time before 1678",
        "send_time",
        {"send_time": Timestamp(seconds=FROM_1678 - 1, nanos=999_999_999)},
    ),
    ("send_time after 2261", "send_time", {"send_time": Timestamp(seconds=FROM_2262)}),
    ("send_time out of all range", "send_time", {"send_time": Timestamp(seconds=-(2**63))}),
    ("send_time's nanos negative", "send_time", {"send_time": Timestamp(nanos=-1)}),
    ("send_time's nanos too many", "send_time", {"send_time": Timestamp(nanos=10**9)}),
    ("129 tool calls", "tool_calls", {"tool_calls": [mpb.ToolCall(name="f")] * 129}),
    ("tool call without a name", "tool_calls[0].name", _call(name="")),
    ("tool call's name of 257", "tool_calls[0].name", _call(name="n" * 257)),
    ("tool call's name with NUL", "tool_calls[0].name", _call(name="n\0")),
    ("tool call's id of 8,193", "tool_calls[0].id", _call(id="i" * 8_193)),
    ("tool call's id with NUL", "tool_calls[0].id", _call(id="\0")),
    ("tool call's arguments with NUL", "tool_calls[0].arguments", _call(arguments='{"a":"\0"}')),
    ("the second tool call", "tool_calls[1].name", {"tool_calls": [mpb.ToolCall(name="f"), mpb.ToolCall()]}),
    ("257 parts", "parts", {"parts": [mpb.Part(text="")] * 257}),
    ("part of nothing", "parts[0]", _part()),
    ("text part with NUL", "parts[0].text", _part(text="\0")),
    ("json part empty", "parts[0].json", _part(json="")),
    ("json part no JSON", "parts[0].json", _part(json="nul")),
    ("json part with NaN", "parts[0].json", _part(json="NaN")),
    ("json part with Infinity", "parts[0].json", _part(json="[-Infinity]")),
    ("json part with garbage after it", "parts[0].json", _part(json="{} {}")),
    ("json part with NUL", "parts[0].json", _part(json='"\0"')),
    ("json part too deep", "parts[0].json", _part(json=nested(100_000))),
    ("media of nothing", "parts[0].media", _media()),
    ("media type of 257", "parts[0].media.mime_type", _media(mime_type="m" * 257, data=b"")),
    ("media type with NUL", "parts[0].media.mime_type", _media(mime_type="\0", uri="u")),
    ("uri empty", "parts[0].media.uri", _media(uri="")),
    ("uri of 8,193", "parts[0].media.uri", _media(uri="u" * 8_193)),
    ("uri with NUL", "parts[0].media.uri", _media(uri="u\0")),
    ("reasoning of nothing", "parts[0].reasoning", _reasoning()),
    ("reasoning of a signature alone", "parts[0].reasoning", _reasoning(signature="s")),
    *(
        (
            f"reasoning's {name} with NUL",
            f"parts[0].reasoning.{name}",
            _reasoning(**{"opaque": "o", name: "\0"}),
        )
        for name in ("text", "opaque", "signature")
    ),
    ("the third part", "parts[2]", {"parts": [mpb.Part(text=""), mpb.Part(json="1"), mpb.Part()]}),
    ("pinned tool result", "pinned", {"role": mpb.ROLE_TOOL, "pinned": True}),
    ("pinned tool call", "pinned", {"role": mpb.ROLE_ASSISTANT, "pinned": True} | _call()),
    ("1 MiB", "", {"content": "", "payload": b"x" * (MIB - 8)}),
]


@pytest.mark.parametrize("fields", [pytest.param(fields, id=what) for what, fields in GOOD.items()])
async def test_a_message_at_its_limits_is_kept_as_it_is(shared: Service, fields: dict[str, Any]) -> None:
    """A field at its limit is accepted, alone and in a batch, and comes back unchanged."""
    message, session_ids = said(**fields), (fresh_id(), fresh_id())
    new_session = spb.SessionFields()
    await call(shared, "AppendMessage", session_ids[0], message=message, new_session=new_session)
    await append(shared, session_ids[1], message, new_session=new_session)
    for session_id in session_ids:
        (found,) = await stored(shared, session_id)
        for field in fields:
            assert getattr(found, field) == getattr(message, field)


@pytest.mark.parametrize(("path", "fields"), [pytest.param(p, f, id=what) for what, p, f in BAD])
async def test_a_message_beyond_its_limits_is_refused(
    shared: Service, path: str, fields: dict[str, Any]
) -> None:
    """A field beyond its limit is INVALID_ARGUMENT with its path, in a batch with the message's index."""
    message, new_session = said(**fields), spb.SessionFields()
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as single:
        await call(shared, "AppendMessage", fresh_id(), message=message, new_session=new_session)
    assert list(single.violations) == [f"message.{path}".rstrip(".")]
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as batch:
        await append(shared, fresh_id(), said(), message, new_session=new_session)
    assert list(batch.violations) == [f"messages[1].{path}".rstrip(".")]


async def test_a_message_of_almost_a_mebibyte_is_kept(shared: Service) -> None:
    """The largest serialized message is 1 MiB less one byte; an id that the server makes is not counted."""
    message, session_id = mpb.Message(role=mpb.ROLE_USER, payload=b"x" * (MIB - 7)), fresh_id()
    assert message.ByteSize() == MIB - 1
    await call(
        shared, "AppendMessage", session_id, message=message, new_session=spb.SessionFields(), history={}
    )
    (found,) = await stored(shared, session_id)
    assert without(found, "message_id", "sequence", "create_time", "token_count", "status") == message


async def test_all_that_is_wrong_is_named_at_once(shared: Service) -> None:
    """One error names all invalid fields, each by its own path."""
    message = mpb.Message(name="n" * 257, tool_calls=[{"id": "\0", "name": "f"}, {}], parts=[{}])
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await call(shared, "AppendMessage", fresh_id(), message=message)
    paths = ("role", "name", "tool_calls[0].id", "tool_calls[1].name", "parts[0]")
    assert set(failure.violations) == {f"message.{path}" for path in paths}
