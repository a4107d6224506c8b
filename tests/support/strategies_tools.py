"""Hypothesis strategies for calls and results, in the shapes that APIs produce, and for rows of responses."""

from __future__ import annotations

from hypothesis import strategies as st

from sessionhistory.v1 import message_pb2 as mpb

# Few ids, so that calls share them.
CALL_IDS = ("call_1", "call_2", "call_3")
LONG_CALL_ID = "call_1 " + "é" * 4_565
RESULT_IDS = ("", *CALL_IDS, *CALL_IDS, LONG_CALL_ID)

_OTHERS = ("user", "assistant", "reasoning", "system")


def reasoning() -> mpb.Message:
    """Return a reasoning item: a message of the model with a payload only."""
    return mpb.Message(role=mpb.ROLE_ASSISTANT, payload=b"gAAAA", payload_type="openai.responses.item")


def _other(kind: str) -> mpb.Message:
    if kind == "reasoning":
        return reasoning()
    return mpb.Message(role=mpb.Role.Value(f"ROLE_{kind.upper()}"), content=f"{kind} says")


def _result(call_id: str, calls: tuple[str, ...] = ()) -> mpb.Message:
    made = [mpb.ToolCall(id=called, name="find", arguments="{}") for called in calls]
    return mpb.Message(role=mpb.ROLE_TOOL, tool_call_id=call_id, content="found", tool_calls=made)


@st.composite
def _caller(draw: st.DrawFn) -> mpb.Message:
    """Return a message with one to three calls, mostly the model's."""
    ids = draw(st.lists(st.sampled_from(("", *CALL_IDS * 3)), min_size=1, max_size=3))
    calls = [mpb.ToolCall(id=call_id, name="find", arguments="{}") for call_id in ids]
    role = draw(st.sampled_from((*[mpb.ROLE_ASSISTANT] * 5, mpb.ROLE_USER)))
    return mpb.Message(role=role, tool_calls=calls)


# A result that carries calls itself is rare.
_later_results = st.builds(
    _result, st.sampled_from(RESULT_IDS), st.sampled_from(((), (), (), (), ("call_1",), ("call_2", "")))
)


@st.composite
def rounds_of_tools(draw: st.DrawFn) -> list[mpb.Message]:
    """Return calls and their results: most are answered in order, and in a third of the rounds all are.

    Otherwise results are missing, late, out of order, second ones, without an id or without a call.
    """
    callers = draw(st.lists(_caller(), min_size=1, max_size=3))
    row = [reasoning() for _ in range(draw(st.sampled_from((0, 0, 1, 2))))]
    results = [_result(call.id) for caller in callers for call in caller.tool_calls]
    if draw(st.integers(0, 2)):
        results = draw(st.permutations(results))[draw(st.sampled_from((0, 0, 0, 1))) :]
        results += draw(st.lists(_later_results, max_size=2))
    told = [*row, *callers, *results]
    for kind in draw(st.lists(st.sampled_from(_OTHERS), max_size=2)):
        told.insert(draw(st.integers(len(row), len(told))), _other(kind))
    return told


@st.composite
def rows(draw: st.DrawFn) -> list[mpb.Message]:
    """Return a row of messages of the model, as APIs give them that split a response into items."""
    kinds = draw(st.lists(st.sampled_from(("assistant", "reasoning")), min_size=2, max_size=5))
    return [_other(kind) for kind in kinds]
