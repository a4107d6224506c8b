"""Convert messages to requests of Anthropic's Messages API, and its answers to messages.

The conversation fills ``system`` and ``messages`` of a request:

- System and developer prompts at the beginning become ``system``. A later one becomes text of the user's turn
  at its place, or a message of the role ``system`` with ``system_messages``.
- Consecutive messages of one role are joined into one turn. Calls are the last blocks of a turn, and their
  results the first blocks of the next one.
- The API refuses blank texts, media of types that it does not know, and reasoning without a signature. They
  are left out, and so are the names of speakers.
- If the first turn would be the model's, a user's turn with ``BEGINNING`` stands before it, and if the last
  would be, one with ``CONTINUE`` follows it, unless ``prefill`` is set or the answer has only paused while
  Anthropic runs a tool (``pause_turn``). ``from_request`` leaves both out.

``from_request`` of a request of ``to_request`` makes messages of which ``to_request`` makes the same request.
In comparison with the messages that the request was made of, consecutive messages of one role are one, system
prompts in the middle are the user's, and only what the request has of a message is in it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sessionhistory.formats import _anthropic_blocks as blocks
from sessionhistory.formats._anthropic_blocks import PAYLOAD_TYPE, PROVIDER
from sessionhistory.formats._anthropic_checks import CALL_ID, THINKING, blocks_of, is_paused, violations
from sessionhistory.formats._anthropic_stream import StreamReader, status_of, usage_of
from sessionhistory.formats._anthropic_turns import Conversation, settled
from sessionhistory.formats._arrange import Said, Unanswered, arrange, messages_of
from sessionhistory.formats._call_ids import IdRule
from sessionhistory.formats._content import Json, loaded
from sessionhistory.formats._turns import BEGINNING, CONTINUE, Turn
from sessionhistory.types import History, Message, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "BEGINNING",
    "CONTINUE",
    "PAYLOAD_TYPE",
    "StreamReader",
    "from_request",
    "from_response",
    "to_request",
    "violations",
]

_IDS: Final = IdRule(max_length=8_192, pattern=re.compile(CALL_ID))
_BREAKPOINT: Final = {"type": "ephemeral"}


def to_request(
    messages: History | Iterable[Message],
    *,
    unanswered: Unanswered = Unanswered.MARKER,
    cache: bool = False,
    prefill: bool = False,
    system_messages: bool = False,
) -> dict[str, Any]:
    """Return ``system`` and ``messages`` of a request.

    Args:
        messages: A history, or any messages in stored order.
        unanswered: How to convert a call without a result, which the API refuses.
        cache: Whether to set breakpoints of the prompt cache: at the end of the system prompt, of the pinned
            messages and the summary with which the history begins, and of the newest message.
        prefill: Whether the model continues a last message of its own. Models from Claude 4.6 on refuse that.
        system_messages: Whether the model takes messages of the role ``system``, as Claude Opus 4.8 does.
    """
    source = messages if isinstance(messages, History) else messages_of(messages)
    kept = _kept(source)
    told = Conversation()
    for step in arrange(source, unanswered=unanswered, ids=_IDS):
        is_kept = isinstance(step, Said) and any(step.message is message for message in kept)
        told.add(step, is_kept=is_kept, system_messages=system_messages)
    turns = settled(told.turns)
    if cache:
        _mark(told, turns)
    turns = list(_completed(turns, prefill=prefill))
    system = {"system": told.system} if told.system else {}
    return {**system, "messages": [{"role": turn.role, "content": turn.blocks} for turn in turns]}


def from_request(request: Json | str | bytes) -> list[Message]:
    """Return the messages of a request. A message of the model has its blocks as payload if it needs them."""
    told = loaded(request)
    prompts = [_prompt(block) for block in blocks_of(told.get("system"))]
    turns = [Turn(str(one.get("role")), blocks_of(one.get("content"))) for one in told.get("messages") or ()]
    if turns and _is_filler(turns[0], BEGINNING):
        del turns[0]
    if turns and _is_filler(turns[-1], CONTINUE):
        del turns[-1]
    return [*prompts, *(message for turn in turns for message in _messages(turn))]


def from_response(response: Json | str | bytes) -> list[Message]:
    """Return the message of a response, with its blocks as payload.

    Raises:
        ValueError: the response is an error.
    """
    told = loaded(response)
    if told.get("type") == "error" or told.get("error"):
        raise ValueError("the response is an error: there is no message to store")
    made = blocks.answer(blocks_of(told.get("content")))
    usage = usage_of(told.get("usage"))
    finish_reason = str(told.get("stop_reason") or "")
    return [
        replace(
            made,
            status=status_of(finish_reason),
            provider=PROVIDER,
            model=str(told.get("model", "")),
            usage=usage,
            finish_reason=finish_reason,
        )
    ]


def _kept(source: History | list[Message]) -> list[Message]:
    """Return the messages with which each history of the session begins: pins and the summary."""
    summary = source.summary.through_sequence if isinstance(source, History) and source.summary else None
    kept: list[Message] = []
    for message in messages_of(source):
        if not message.pinned and (summary is None or message.sequence != summary):
            break
        kept.append(message)
    return kept


def _mark(told: Conversation, turns: list[Turn]) -> None:
    """Set the breakpoints of the prompt cache."""
    newest = [block for turn in turns for block in turn.blocks if block["type"] not in THINKING]
    marked = [*told.system[-1:], *newest[-1:]]
    if told.last_kept is not None:
        marked += [block for block in newest if block is told.last_kept]
    for block in marked:
        block["cache_control"] = dict(_BREAKPOINT)


def _completed(turns: list[Turn], *, prefill: bool) -> Iterator[Turn]:
    """Yield the turns, with a user's turn before and behind them where the API wants one."""
    if not turns or turns[0].role == "assistant":
        yield Turn("user", [blocks.text_block(BEGINNING)])
    yield from turns
    if not turns or turns[-1].role != "assistant":
        return
    last = turns[-1].blocks[-1]
    if not prefill and not is_paused(last):
        yield Turn("user", [blocks.text_block(CONTINUE)])
    elif last["type"] == "text":
        last["text"] = last["text"].rstrip()


def _is_filler(turn: Turn, text: str) -> bool:
    return turn.role == "user" and [blocks.without_cache(block) for block in turn.blocks] == [
        blocks.text_block(text)
    ]


def _prompt(block: Json) -> Message:
    content, parts = blocks.body_of([block])
    return Message(role=Role.SYSTEM, content=content, parts=parts)


def _messages(turn: Turn) -> Iterator[Message]:
    """Yield the messages of a turn: results, then what the user says."""
    if turn.role == "assistant":
        yield blocks.message_of_model([blocks.without_cache(block) for block in turn.blocks])
        return
    if turn.role == "system":
        yield from map(_prompt, turn.blocks)
        return
    results = [block for block in turn.blocks if block.get("type") == "tool_result"]
    yield from map(blocks.result_message, results)
    content, parts = blocks.body_of(block for block in turn.blocks if block.get("type") != "tool_result")
    if content is not None or parts:
        yield Message(role=Role.USER, content=content, parts=parts)
