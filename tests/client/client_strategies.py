"""Any message that a caller may send through the client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from sessionhistory import (
    JsonPart,
    MediaPart,
    Message,
    MessageStatus,
    ReasoningPart,
    Role,
    TextPart,
    ToolCall,
    Usage,
)

_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
_names = st.just("") | _texts
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_counts = st.none() | st.integers(0, 2**31 - 1)
_usages = st.builds(
    Usage,
    input_tokens=st.integers(0, 2**31 - 1),
    output_tokens=_counts,
    cache_read_tokens=_counts,
    cache_write_tokens=_counts,
)
_parts = st.one_of(
    st.builds(TextPart, _texts),
    st.builds(JsonPart, _json),
    st.builds(MediaPart, mime_type=_names, data=st.binary(max_size=30)),
    st.builds(MediaPart, mime_type=_names, uri=_texts.filter(bool)),
    st.builds(ReasoningPart, _texts.filter(bool), opaque=_names, signature=_names),
    st.builds(ReasoningPart, opaque=_texts.filter(bool), signature=_names),
)
_calls = st.builds(ToolCall, id=_names, name=_texts.filter(bool), arguments=_texts)
_zones = st.just(UTC) | st.integers(-23 * 60, 23 * 60).map(lambda m: timezone(timedelta(minutes=m)))


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Return a valid message."""
    role = draw(st.sampled_from([role for role in Role if role is not Role.UNKNOWN]))
    tool_calls = tuple(draw(st.just([]) | st.lists(_calls, max_size=2)))
    pinnable = role is not Role.TOOL and not tool_calls

    def some(strategy: st.SearchStrategy[Any], default: Any = None) -> Any:
        return draw(st.just(default) | strategy)

    return Message(
        role=role,
        content=some(_texts),
        name=draw(_names),
        tool_calls=tool_calls,
        tool_call_id=draw(_names),
        parts=tuple(some(st.lists(_parts, max_size=3), [])),
        payload=some(st.binary(max_size=30), b""),
        payload_type=draw(_names),
        metadata=some(st.dictionaries(_texts, _json, max_size=3)),
        model=draw(_names),
        provider=draw(_names),
        usage=some(_usages),
        token_count=draw(st.integers(0, 2**31 - 1)),
        pinned=pinnable and draw(st.booleans()),
        status=draw(st.sampled_from([MessageStatus.COMPLETE, MessageStatus.INTERRUPTED])),
        turn_id=draw(_names),
        finish_reason=draw(_names),
        send_time=some(st.datetimes(datetime(1679, 1, 1), datetime(2261, 1, 1), timezones=_zones)),  # noqa: DTZ001 - zones are drawn
    )
