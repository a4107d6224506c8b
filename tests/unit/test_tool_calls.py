"""Which messages of a run stay: results with their call, and messages whose calls all have results."""

from __future__ import annotations

import pytest

from sessionhistory_server.model.message import Message, ToolCall
from sessionhistory_server.model.tool_calls import answered, with_calls
from support.messages import message_content


def run_of(text: str) -> list[Message]:
    """Return messages from words: ``U`` and ``A`` with the ids of their calls; ``T`` with the id of its call.

    A call ``-`` and a result ``-`` have no id. After ``+`` come the ids of a result's own calls.
    """
    return [_message(word, sequence) for sequence, word in enumerate(text.split(), start=1)]


def _message(word: str, sequence: int) -> Message:
    named, _, own = word[1:].partition("+")
    is_result = word[0] == "T"
    calls = tuple(ToolCall(each.strip("-"), "f", "") for each in (own if is_result else named))
    content = message_content(
        message_id=f"m{sequence}",
        role={"U": "USER", "A": "ASSISTANT", "T": "TOOL"}[word[0]],
        tool_calls=calls or None,
        tool_call_id=named.strip("-") or None if is_result else None,
    )
    return Message(content, sequence=sequence, token_count=10, create_time=0, size_bytes=100)


@pytest.mark.parametrize(
    ("run", "kept"),
    [
        ("", []),
        ("U Aa Ta", [1, 2, 3]),
        ("Ab Ta Tb", [1, 3]),
        ("Aa Ab Ta Tb", [1, 2, 3, 4]),
        ("Aa U Ta", [1, 2, 3]),
        ("Aa Ta U Ta", [1, 2, 3, 4]),
        ("Ta Aa", [2]),
        ("T- Aa T-", [2, 3]),
        ("A- U A T- T-", [1, 2, 3, 4, 5]),
        ("A- Ta", [1]),
        ("Aa T-", [1, 2]),
        ("U T-", [1]),
    ],
)
def test_a_result_needs_its_call(run: str, kept: list[int]) -> None:
    """A result with an id needs an earlier call of that id, one without an id any earlier call."""
    assert [message.sequence for message in with_calls(run_of(run))] == kept


@pytest.mark.parametrize(
    ("run", "kept"),
    [
        ("U A Aa Ta U", [1, 2, 3, 4, 5]),
        ("U Aa", [1]),
        ("Aab Ta U", [3]),
        ("Aab Tb U Ta", [1, 2, 3, 4]),
        ("Aa Aa Ta", [2, 3]),
        ("Aa Aa Ta Ta", [1, 2, 3, 4]),
        ("Aa Ta Aa", [1, 2]),
        ("Aa Ta Ta Aa Ta", [1, 2, 3, 4, 5]),
        ("Aab Ta Ta", []),
        ("Aaa Ta", []),
        ("Aaa Ta Ta", [1, 2, 3]),
        ("A-- T-", []),
        ("A-- T- T- T-", [1, 2, 3, 4]),
        ("A-a Ta", []),
        ("A-a Ta T-", [1, 2, 3]),
        ("Aab T- Tb", [1, 2, 3]),
        ("Aa A- T- Ta", [1, 2, 3, 4]),
        ("Aa A- Ta", [1, 3]),
        ("Ua Ta Ub", [1, 2]),
        ("Aa Ta+b Tb", [1, 2, 3]),
        ("U Aa Ta+b", [1]),
        ("U Aab Ta+c Tc", [1]),
        ("Aa Ta Ta+b", [1, 2]),
    ],
)
def test_a_message_needs_results_of_all_its_calls(run: str, kept: list[int]) -> None:
    """A message of which a call has no result is left out with the results of its other calls."""
    assert [message.sequence for message in answered(with_calls(run_of(run)))] == kept


def test_a_long_run_takes_no_longer_for_each_message() -> None:
    """A thousand calls of one id, and a thousand results that each have a call, are read in one pass."""
    calls = run_of(" ".join(["Aa"] * 500 + ["Ta"] * 500))
    assert answered(with_calls(calls)) == calls
    chain = run_of(" ".join(["Aa", *["Ta+a"] * 999]))
    assert answered(with_calls(chain)) == []
