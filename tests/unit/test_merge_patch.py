"""Merge patches of text: RFC 7386 applies, and all other bytes stay as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionhistory_server.model.merge_patch import merge

# The RFC's test cases whose target and patch are objects.
RFC = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]

_DIGITS = "9" * 5_000

EXACT = {
    "numbers": (
        '{"a":1.0,"b":1}',
        '{"b":12345678901234567890123.10e-400}',
        '{"a":1.0,"b":12345678901234567890123.10e-400}',
    ),
    "an integer of 5,000 digits": (
        f'{{"a":{_DIGITS}}}',
        f'{{"b":-{_DIGITS}}}',
        f'{{"a":{_DIGITS},"b":-{_DIGITS}}}',
    ),
    "the order of names": ('{"z":1,"a":2,"m":3}', '{"a":9,"b":8,"A":7}', '{"z":1,"a":9,"m":3,"b":8,"A":7}'),
    "space": (
        '\n{ "a" : 1 ,\t"b" : [ 1, 2 ]\r\n} ',
        '{ "c" : { "d" : 1 } }',
        '\n{ "a" : 1 ,\t"b" : [ 1, 2 ]\r\n, "c" : { "d" : 1 } } ',
    ),
    "space around what is replaced": ('{ "a" : 1 , "b" : 2 }', '{"a":[ ]}', '{ "a" : [ ] , "b" : 2 }'),
    "nothing to change": (' {"a" :{ "b":1 } } ', ' {"a": {}} ', ' {"a" :{ "b":1 } } '),
    "escapes": (
        '{"\\u00e9":"\\/\\ud83d\\ude00","b":"😀\\u0000"}',
        '{"c":"\\u00E9"}',
        '{"\\u00e9":"\\/\\ud83d\\ude00","b":"😀\\u0000","c":"\\u00E9"}',
    ),
    "a name that is spelled another way": ('{"\\u00e9":1,"/":2}', '{"é":3,"\\/":null}', '{"\\u00e9":3}'),
    "half of a surrogate pair as a name": ('{"\\ud800":1,"\\udc00":2}', '{"\\ud800":null}', '{"\\udc00":2}'),
    "brackets and quotes in texts": (
        '{"a":"}\\"],{","b":{"c":"{"}}',
        '{"b":{"c":"\\\\"}}',
        '{"a":"}\\"],{","b":{"c":"\\\\"}}',
    ),
    "nulls in arrays": ("{}", '{"a":[null,{"b":null}]}', '{"a":[null,{"b":null}]}'),
    "nulls that are stored": ('{"a":{"b":null,"c":1}}', '{"a":{"c":null}}', '{"a":{"b":null}}'),
    "an object in place of none": ('{"a":1}', '{"a":{"b":null,"c":{"d":null,"e":2}}}', '{"a":{"c":{"e":2}}}'),
    "no object in place of one": ('{"a":{"b":1}}', '{"a":false}', '{"a":false}'),
    "a name twice in the state": ('{"a":1,"b":2,"a":3}', '{"b":4}', '{"a":3,"b":4}'),
    "a name twice in an object that is not reached": (
        '{"o":{"a":1,"a":2}}',
        '{"b":4}',
        '{"o":{"a":1,"a":2},"b":4}',
    ),
    "a name twice in the patch": ("{}", '{"a":{"x":1},"a":2,"b":3,"b":{"y":4}}', '{"a":2,"b":{"y":4}}'),
    "an object twice in the state": ('{"a":{"x":1},"a":{"y":2}}', '{"a":{"z":3}}', '{"a":{"y":2,"z":3}}'),
    "a name that is empty": ('{"":1}', '{"":{"":2}}', '{"":{"":2}}'),
}


@pytest.mark.parametrize(("target", "patch", "expected"), RFC)
def test_the_cases_of_the_rfc(target: str, patch: str, expected: str) -> None:
    """A patch has the result that the RFC gives."""
    assert merge(target, patch) == expected


@pytest.mark.parametrize(("target", "patch", "expected"), EXACT.values(), ids=EXACT)
def test_text_is_kept(target: str, patch: str, expected: str) -> None:
    """A member that the patch does not name keeps its bytes; a member that is set gets the patch's bytes."""
    assert merge(target, patch) == expected
    json.loads(merge(target, patch), parse_int=str)


def test_the_deepest_objects() -> None:
    """Objects of 100 levels are merged down to the last level."""
    deep = '{"a":' * 99 + '{"%s":1}' + "}" * 99
    assert merge(deep % "b", deep % "c") == '{"a":' * 99 + '{"b":1,"c":1}' + "}" * 99


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abé\n"), inner, max_size=3),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(st.sampled_from("abé\n"), _VALUES, max_size=4)
_FORMS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"ensure_ascii": st.booleans(), "indent": st.sampled_from((None, 0, 1)), "sort_keys": st.booleans()}
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(_OBJECTS, _OBJECTS, _FORMS, _FORMS)
def test_any_patch_of_any_object(
    target: dict[str, Any], patch: dict[str, Any], form: dict[str, Any], other_form: dict[str, Any]
) -> None:
    """For any spelling of target and patch, the result's value is that of the RFC's algorithm."""
    merged = merge(json.dumps(target, **form), json.dumps(patch, **other_form))
    assert json.loads(merged) == _merged(target, patch)


def _merged(target: Any, patch: Any) -> Any:
    """Return the result of the RFC's pseudo-code."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result
