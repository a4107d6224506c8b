"""The facts of messages, to compare a request with the messages from which it was made."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from sessionhistory.formats._arrange import NO_RESULT, Called, Said, arrange
from sessionhistory.formats._call_ids import IdRule
from sessionhistory.formats._content import body
from sessionhistory.formats._names import accepted_name
from sessionhistory.formats._repair import arguments_object
from sessionhistory.types import MediaPart, Role, TextPart

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sessionhistory.formats import Unanswered
    from sessionhistory.formats._arrange import AnsweredCall
    from sessionhistory.types import History, Message

_ANY_ID = IdRule(max_length=10_000)
_INSTRUCTIONS = (Role.SYSTEM, Role.DEVELOPER)


PROMPTS_AS_USERS = ("anthropic", "gemini")
"""The formats whose requests have later prompts as texts of the user, and take few types of media."""


class Facts(NamedTuple):
    """The facts of messages: texts in order, by speaker; calls with the texts of their results; media."""

    instructions: list[str]
    users: list[str]
    models: list[str]
    calls: list[tuple[str, str, list[str]]]
    media: list[str]


def facts(messages: History | Sequence[Message], unanswered: Unanswered, name: str = "") -> Facts:
    """Return the facts of messages, as a request of a format has them."""
    is_user = name in PROMPTS_AS_USERS
    texts: defaultdict[str, list[str]] = defaultdict(list)
    calls: list[tuple[str, str, list[str]]] = []
    spoken: list[Message] = []
    for step in arrange(messages, unanswered=unanswered, ids=_ANY_ID):
        said = [step.message] if isinstance(step, Said) else [caller.message for caller in step.callers]
        spoken += said
        for message in said:
            speaker = _speaker(message)
            texts["users" if is_user and speaker == "instructions" else speaker] += _texts([message])
        if isinstance(step, Called):
            calls += map(_call, step.calls)
            spoken += [result for answered in step.calls for result in answered.results]
    shown = [] if is_user else [part for message in spoken for part in body(message)]
    media = sorted(repr(part) for part in shown if isinstance(part, MediaPart))
    return Facts(texts["instructions"], texts["users"], texts["models"], calls, media)


def _speaker(message: Message) -> str:
    if message.role in _INSTRUCTIONS:
        return "instructions"
    return "users" if message.role is Role.USER else "models"


def _call(answered: AnsweredCall) -> tuple[str, str, list[str]]:
    texts = list(_texts(answered.results)) if answered.results else [NO_RESULT]
    arguments = arguments_object(answered.call.arguments)
    return accepted_name(answered.call.name), repr(arguments), texts


def _texts(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        for part in body(message):
            if isinstance(part, TextPart) and part.text.strip():
                yield part.text.rstrip()
