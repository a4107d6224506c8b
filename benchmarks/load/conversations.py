"""Whole conversations with tool calls: the recorded ones, or else made ones of the project's own sizes."""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final

from benchmarks.errors import SkippedError
from benchmarks.load import recordings, traffic
from sessionhistory.v1 import message_pb2 as mpb

if TYPE_CHECKING:
    from collections.abc import Iterator

    Conversation = list[mpb.Message]

# The sizes of messages in tokens, in turn. The tuples have lengths without a common factor, so that the same
# sizes seldom meet.
_QUESTIONS: Final = (12, 35, 20, 60, 8, 27, 140)
_ARGUMENTS: Final = (18, 41, 30)
_RESULTS: Final = (45, 310, 120, 700, 85, 1_400, 230, 60)
_ANSWERS: Final = (90, 160, 55, 330, 120)
_MADE: Final = 24
_FEWEST_TURNS: Final = 4
_MOST_CALLS: Final = 3
_CHARACTERS_PER_TOKEN: Final = 4


def recorded() -> tuple[list[Conversation], str]:
    """Return the recorded conversations, or made ones if there are none; and the name of the source."""
    try:
        found = recordings.conversations()
    except SkippedError:
        return made(), "made conversations"
    return [[_message(fields) for fields in messages] for messages in found], "recorded conversations"


def _message(fields: dict[str, Any]) -> mpb.Message:
    calls = [
        mpb.ToolCall(id=call["id"], name=call["name"], arguments=call["arguments"])
        for call in fields["tool_calls"] or ()
    ]
    return mpb.Message(
        role=f"ROLE_{fields['role'].upper()}",
        content=fields["content"] or "",
        tool_calls=calls,
        tool_call_id=fields["tool_call_id"] or "",
    )


def made() -> list[Conversation]:
    """Return conversations of 4 to 50 turns. Each begins at other places of the tuples of sizes."""
    return [list(_turns(number)) for number in range(_MADE)]


def _turns(number: int) -> Iterator[mpb.Message]:
    sizes = (_QUESTIONS, _ARGUMENTS, _RESULTS, _ANSWERS)
    questions, arguments, results, answers = (islice(cycle(each), number, None) for each in sizes)
    for turn in range(_FEWEST_TURNS + 2 * number):
        yield mpb.Message(role=mpb.ROLE_USER, content=_text(next(questions)))
        for place in range((turn + number) % _MOST_CALLS):
            call = mpb.ToolCall(id=f"call-{turn}-{place}", name="look_up", arguments=_text(next(arguments)))
            yield mpb.Message(role=mpb.ROLE_ASSISTANT, tool_calls=[call])
            yield mpb.Message(role=mpb.ROLE_TOOL, tool_call_id=call.id, content=_text(next(results)))
        yield mpb.Message(role=mpb.ROLE_ASSISTANT, content=_text(next(answers)))


def _text(tokens: int) -> str:
    return traffic.text(tokens * _CHARACTERS_PER_TOKEN)
