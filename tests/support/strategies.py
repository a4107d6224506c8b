"""Hypothesis strategies for a caller's input: messages, sessions, limits, filters, and invalid values."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_pb2 as spb
from support.strategies_tools import CALL_IDS, LONG_CALL_ID, RESULT_IDS, reasoning, rounds_of_tools, rows

USERS = ("ann", "bob")
APPLICATIONS = ("one", "größe 📏")
IDS = ("19:abc@thread.tacv2;messageid=1", "+15550100", "a/1kKz==", "%s{0}[b]$(x)|<*>?,!~^#&")
MODELS = ("", "m", "other")

# Two capitals whose small letters are ASCII are left out: title_contains follows our rules, not Unicode's.
_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0\u0130\u212a")
_TEXTS = (
    "",
    " ",
    "hello",
    "Trip to Zürich",
    "100%_\\ sure/",
    " \r\n\tindented\b ",
    "日本語のテキスト",
    "👩‍👩‍👧‍👧 🇨🇭 e\u0301",
    "\ufeff\ufffd\ue000\U0010ffff",
    '{"looks": "like json", "n": 12345678901234567890}',
    "\\u0000 \\x00 \\0",
    "long " * 30 + "😀",
    "x" + "👩‍👩‍👧‍👧🇨🇭e\u0301" * 12,
)
_OBJECTS = (
    "{}",
    ' { "a" : 1 , "a" : 1.0 } ',
    '{"big": 123456789012345678901234567890, "small": 1e-400, "none": null}',
    '{"é": "\\u00e9 😀", "list": [1, [2, {}]]}',
)

# Parts of patches: values that create objects, and keys that the objects may hold already.
_PATCHES = (
    "{}",
    '{"a": null}',
    ' { "a" : 2.50 ,"list":[ null ] } ',
    '{"a": {"b": 12345678901234567890, "c": {"d": null, "e": 1e999}}}',
    '{"a": {"b": null, "b": {}, "x": "\\ud83d\\ude00"}, "\\u00e9": {"\\"}{,[": []}}',
    '{"list": {"a": {}}, "big": -0.0, "small": null}',
)

texts = st.sampled_from(_TEXTS) | st.text(_CHARACTERS, max_size=30)
names = st.sampled_from(("", "", "weather", "größe 📏"))
objects = st.sampled_from(("", "", *_OBJECTS))
patches = st.sampled_from((*_PATCHES, *_OBJECTS))
expected_versions = st.sampled_from((None, None, None, 0, 0, 1))
token_counts = st.sampled_from((*(0, 1, 1, 1, 2, 2, 3, 3, 5, 5, 8, 10, 25, 90) * 3, 2**31 - 1))
times: st.SearchStrategy[dict[str, int]] = st.builds(
    dict, seconds=st.integers(-9_000_000_000, 9_000_000_000), nanos=st.integers(0, 999_999_999)
)

_OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "step_tokens": st.sampled_from((0, 1, 2, 3, 4, 5, 8, 20, 2**31 - 1)),
    "step_messages": st.sampled_from((0, 1, 2, 3, 4, 5, 2**31 - 1)),
    "unanswered_calls": st.sampled_from(hpb.UnansweredCalls.values()),
    "whole_responses": st.booleans(),
}
limits = st.fixed_dictionaries(
    {},
    optional=_OPTIONS
    | {
        "max_messages": st.sampled_from((0, 1, 2, 3, 4, 6, 9, 15, 1_000, 2**31 - 1)),
        "token_budget": st.sampled_from((0, 1, 3, 8, 20, 60, 200, 2**31 - 1)),
        "include_pinned": st.booleans(),
        "max_turns": st.sampled_from((0, 1, 1, 2, 3, 5, 2**31 - 1)),
    },
)
labels = st.dictionaries(st.sampled_from(("team", "env")), st.sampled_from(("", "a", "b")), max_size=2)

_calls = st.builds(
    mpb.ToolCall,
    id=st.sampled_from(("", *CALL_IDS, LONG_CALL_ID)),
    name=st.just("find"),
    arguments=texts,
)
_parts = st.one_of(
    st.builds(mpb.Part, text=texts),
    st.builds(mpb.Part, json=st.sampled_from((*_OBJECTS, "null", "[]", '"x"', "1e999"))),
    st.builds(mpb.Part, media=st.fixed_dictionaries({"mime_type": names, "data": st.binary(max_size=8)})),
    st.builds(mpb.Part, media=st.fixed_dictionaries({"uri": st.just("https://example.org/ä")})),
    st.builds(
        mpb.Part,
        reasoning=st.fixed_dictionaries({"text": texts, "opaque": st.just("AbC+/="), "signature": names}),
    ),
    st.builds(mpb.Part, reasoning=st.fixed_dictionaries({"text": texts.filter(bool)})),
)
_usages = st.dictionaries(
    st.sampled_from(("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")),
    st.sampled_from((0, 1, 2**31 - 1)),
    min_size=1,
)
_rich: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "parts": st.lists(_parts, max_size=3),
        "payload": st.binary(max_size=8),
        "payload_type": names,
        "metadata": objects,
        "model": names,
        "provider": names,
        "finish_reason": names,
        "usage": _usages,
        "status": st.sampled_from((0, 1, 2)),
        "send_time": times,
        # The server sets these fields; it ignores them in a request.
        "sequence": st.integers(0, 5),
        "create_time": times,
    },
)
_KINDS: dict[str, dict[str, Any]] = {
    "plain": {"role": mpb.ROLE_USER},
    "answer": {"role": mpb.ROLE_ASSISTANT},
    "calls": {"role": mpb.ROLE_ASSISTANT},
    "user calls": {"role": mpb.ROLE_USER},
    "result": {"role": mpb.ROLE_TOOL},
    "reasoning": {"role": mpb.ROLE_ASSISTANT, "payload": reasoning().payload},
    "pinned": {"role": mpb.ROLE_SYSTEM, "pinned": True},
    "developer": {"role": mpb.ROLE_DEVELOPER},
}
_KIND = st.sampled_from(("plain", "plain", "answer", "calls", "result", "result", *_KINDS))


@st.composite
def messages(draw: st.DrawFn, *, rich: bool = True) -> mpb.Message:
    """Return a message without an id; with ``rich``, half of the messages have further fields."""
    kind = draw(_KIND)
    message = mpb.Message(**_KINDS[kind])
    if kind in ("calls", "user calls"):
        message.tool_calls.extend(draw(st.lists(_calls, min_size=1, max_size=2)))
    if kind == "result":
        message.tool_call_id = draw(st.sampled_from(RESULT_IDS))
    if rich and draw(st.booleans()):
        message.MergeFrom(mpb.Message(**draw(_rich)))
    content = draw(st.none() | texts)
    if content is not None:
        message.content = content
    if not rich or draw(st.booleans()):
        message.token_count = draw(token_counts)
    message.turn_id = draw(st.sampled_from(("", "", "", "t1", "t1", "größe 📏")))
    return message


@st.composite
def talks(draw: st.DrawFn, *, max_size: int) -> list[mpb.Message]:
    """Return a few consecutive messages, most with few fields; in half of the talks, models use tools."""
    if draw(st.booleans()):
        return draw(st.lists(messages(rich=False), min_size=1, max_size=max_size))
    return draw(tool_talks(max_size=max_size))


@st.composite
def tool_talks(draw: st.DrawFn, *, max_size: int) -> list[mpb.Message]:
    """Return consecutive messages of users, models and tools."""
    plain = messages(rich=False).map(lambda message: [message])
    parts = draw(st.lists(rounds_of_tools() | rounds_of_tools() | rows() | plain, min_size=1, max_size=6))
    talk = [message for part in parts for message in part][:max_size]
    for message in talk:
        if not message.HasField("token_count"):
            message.token_count = draw(token_counts)
    return talk


_SESSION_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "application_id": st.sampled_from(("", *APPLICATIONS)),
    "title": texts.map(lambda text: text[:500]),
    "model": st.sampled_from(MODELS),
    "status": st.sampled_from((0, 1, 1, 2, 3)),
    "labels": labels,
    "metadata": objects,
    "state": objects,
    "history_settings": st.fixed_dictionaries(
        {},
        optional=_OPTIONS
        | {
            "max_messages": st.sampled_from((0, 2, 5, 30, 5_000)),
            "token_budget": st.sampled_from((0, 5, 40, 2**31 - 1)),
        },
    ),
}
_EXPIRATIONS: dict[str, st.SearchStrategy[Any]] = {
    "expire_time": st.builds(dict, seconds=st.just(33_000_000_000), nanos=st.sampled_from((0, 123_456_789))),
    "ttl": st.just({"seconds": 86_400}),
}


@st.composite
def sessions(draw: st.DrawFn, *, active: bool = False) -> spb.SessionFields:
    """Return the fields that a caller sets of a session."""
    fields = draw(st.fixed_dictionaries({}, optional=_SESSION_FIELDS))
    expiration = draw(st.sampled_from((None, None, None, *_EXPIRATIONS)))
    if expiration:
        fields[expiration] = draw(_EXPIRATIONS[expiration])
    if active:
        fields["status"] = spb.SESSION_STATUS_ACTIVE
    return spb.SessionFields(**fields)
