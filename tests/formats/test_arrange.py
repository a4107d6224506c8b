"""Calls and results are paired as the server pairs them; half arguments become valid JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionhistory._codec.message import decode_message
from sessionhistory.formats._content import loaded
from sessionhistory.formats._pairing import pair
from sessionhistory.formats._repair import arguments_object, repaired
from sessionhistory.types import Message, Role, ToolCall
from support import strategies
from support.reference_calls import owners_of, without_lone_results

if TYPE_CHECKING:
    from sessionhistory.v1 import message_pb2 as mpb

_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(strategies.tool_talks(max_size=16))
def test_results_have_the_calls_of_the_reference(told: list[mpb.Message]) -> None:
    """Each result belongs to the call that the reference model says, and a lone result to none."""
    for sequence, message in enumerate(told):
        message.sequence = sequence
    found = {
        told[result].sequence: (place.message, place.call)
        for place, results in pair([decode_message(message) for message in told]).items()
        for result in results
    }
    owners = owners_of(without_lone_results(told))
    assert found == {result: (call.sequence, call.index) for result, call in owners.items()}


def test_a_lone_result_with_calls() -> None:
    """A result without its call is in no window, so its own calls get no results of others."""
    told = [
        Message(role=Role.ASSISTANT, tool_calls=(ToolCall(name="find"),)),
        Message(role=Role.TOOL, tool_call_id="lost", tool_calls=(ToolCall(name="find"),)),
        Message(role=Role.TOOL),
    ]
    assert pair(told) == {(0, 0): [2]}


def test_many_calls_of_one_id() -> None:
    """The time to pair grows as the number of messages does, also if all calls have one id."""
    count = 30_000
    calls = [Message(role=Role.ASSISTANT, tool_calls=(ToolCall(name="find", id="c"),))] * count
    results = [Message(role=Role.TOOL, tool_call_id="c")] * count
    assert pair([*calls, *results]) == {(count - 1 - n, 0): [count + n] for n in range(count)}


@given(_VALUES, st.data())
def test_a_beginning_of_json_is_repaired(value: Any, data: st.DataObject) -> None:
    """Any beginning of an object becomes JSON, and a whole one stays as it is."""
    text = json.dumps({"a": value}, ensure_ascii=data.draw(st.booleans()))
    end = data.draw(st.integers(0, len(text)))
    made = json.loads(repaired(text[:end]))
    assert set(made) <= {"a"}
    assert repaired(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"city": "Zür', '{"city": "Zür"}'),
        ('{"a": [1, {"b": "c', '{"a": [1, {"b": "c"}]}'),
        ('{"a": 1, "b', '{"a": 1}'),
        ('{"a": 1, "b":', '{"a": 1}'),
        ('{"a": tr', "{}"),
        ('{"a": [1, 2', '{"a": [1, 2]}'),
        ('{"a": "x\\', '{"a": "x"}'),
        ('{"a": "x\\\\', '{"a": "x\\\\"}'),
        ('{"a": "x\\u00', '{"a": "x"}'),
        ('{"a": "x\\ud83d', '{"a": "x"}'),
        ("", "{}"),
        ("nonsense", "{}"),
    ],
)
def test_repairs(text: str, expected: str) -> None:
    """Strings, arrays and objects are closed; what is not complete is dropped."""
    assert repaired(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        ('{"a', {"arguments": '{"a'}),
        ("[1]", {"arguments": "[1]"}),
        ("Rome", {"arguments": "Rome"}),
    ],
)
def test_arguments_as_an_object(text: str, expected: dict[str, Any]) -> None:
    """Arguments that are no object are the only member of one, so that nothing is lost."""
    assert arguments_object(text) == expected


def test_no_object_is_refused() -> None:
    """A request that is no object is an error that quotes nothing."""
    with pytest.raises(ValueError, match="JSON objects"):
        loaded("[]")
