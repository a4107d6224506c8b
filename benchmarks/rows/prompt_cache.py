"""The prompt tokens that are new to a provider's cache, if the window slides and if it moves in steps.

A prompt is the window before a message of the assistant, as the service returns it. A provider's cache keeps
the beginning that a prompt has in common with the previous prompt of its conversation; the other tokens are
new, and so are all tokens of a conversation's first prompt. Only conversations that outgrow the budget count.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import takewhile
from statistics import geometric_mean
from typing import TYPE_CHECKING, Final

from benchmarks.errors import InvalidError, SkippedError
from benchmarks.load import conversations, traffic
from benchmarks.measurement import Round, Row, Target
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from benchmarks.bench import Bench
    from benchmarks.servers.launch import Server

    Prompt = Sequence[mpb.Message]

_BUDGETS: Final = (2_000, 4_000, 8_000)
_SLIDING, _QUARTER, _HALF = 0.0, 0.25, 0.5
_STEPS: Final = (_SLIDING, _QUARTER, _HALF)
# Tokens alone are to limit a window.
_MAX_MESSAGES: Final = 1_000
_IN_FLIGHT: Final = 8


@dataclass(frozen=True, slots=True)
class _Stored:
    """A stored conversation: the prompts end before these sequences; the last one has this many tokens."""

    session_id: str
    ends: Sequence[int]
    tokens: int


@dataclass(frozen=True, slots=True)
class _Cost:
    """The mean of prompts: their tokens, and those that are new to the cache."""

    tokens: float
    new: float


def new_tokens(prompts: Iterable[Prompt]) -> list[int]:
    """Return, for each prompt of a conversation, the tokens that the previous prompt does not begin with."""
    new: list[int] = []
    before: Prompt = ()
    for prompt in prompts:
        pairs = zip(before, prompt, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        new.append(sum(message.token_count for message in prompt[same:]))
        before = prompt
    return new


def _run(bench: Bench) -> Generator[Round, None, str]:
    found, source = conversations.recorded()
    longest = sorted(found, key=_size_bytes, reverse=True)[: bench.scale.conversations]
    stored = [_store(bench.service, messages) for messages in longest]
    costs: dict[int, dict[float, _Cost]] = {budget: {} for budget in _BUDGETS}
    for budget in _BUDGETS:
        outgrown = [conversation for conversation in stored if conversation.tokens > budget]
        for step in _STEPS:
            costs[budget][step] = _cost(bench.service, outgrown, budget, int(step * budget))
            bench.on_progress(sum(map(len, costs.values())) / (len(_BUDGETS) * len(_STEPS)))
    yield _round(costs)
    return "; ".join([*(_note(costs, step) for step in _STEPS), source])


def _size_bytes(messages: Iterable[mpb.Message]) -> int:
    return sum(message.ByteSize() for message in messages)


def _store(server: Server, messages: Iterable[mpb.Message]) -> _Stored:
    """Store a conversation without its system prompt, which both windows would pin."""
    request = pb.AppendMessagesRequest(
        session_id=traffic.new_id(),
        new_session=session_pb2.SessionFields(),
        messages=[message for message in messages if message.role != mpb.ROLE_SYSTEM],
    )
    kept = server.ask(request).messages
    ends = [message.sequence for message in kept if message.role == mpb.ROLE_ASSISTANT]
    before_last = [message.token_count for message in kept if message.sequence < max(ends, default=0)]
    return _Stored(request.session_id, [end for end in ends if end > 1], sum(before_last))


def _cost(server: Server, stored: Iterable[_Stored], budget: int, step: int) -> _Cost:
    new: list[int] = []
    tokens: list[int] = []
    for conversation in stored:
        prompts = _prompts(server, conversation, budget, step)
        new += new_tokens(prompts)
        tokens += [sum(message.token_count for message in prompt) for prompt in prompts]
    if not tokens:
        raise SkippedError(f"no conversation outgrows {budget:,} tokens")
    if max(tokens) > budget:
        raise InvalidError(f"a window of at most {budget} tokens has {max(tokens)}")
    return _Cost(sum(tokens) / len(tokens), sum(new) / len(new))


def _prompts(server: Server, stored: _Stored, budget: int, step: int) -> list[Prompt]:
    requests = [
        pb.GetHistoryRequest(
            session_id=stored.session_id,
            before_sequence=end,
            max_messages=_MAX_MESSAGES,
            token_budget=budget,
            step_tokens=step,
        )
        for end in stored.ends
    ]
    with ThreadPoolExecutor(_IN_FLIGHT) as threads:
        return [answer.history.messages for answer in threads.map(server.ask, requests)]


def _round(costs: dict[int, dict[float, _Cost]]) -> Round:
    """Return the geometric means over the budgets, whose ratio is that of the budgets' ratios."""
    others = {
        f"{budget:,}, {f'steps of {int(step * budget):,}' if step else 'sliding'}": cost.new
        for budget, by_step in costs.items()
        for step, cost in by_step.items()
    }
    stepped, sliding = (
        geometric_mean(by_step[step].new for by_step in costs.values()) for step in (_QUARTER, _SLIDING)
    )
    return Round(stepped, sliding, others)


def _note(costs: dict[int, dict[float, _Cost]], step: float) -> str:
    """Return, for each budget, the share of a prompt that is new, and its ratio to a window that slides."""
    shares = ", ".join(f"{by_step[step].new / by_step[step].tokens:.0%}" for by_step in costs.values())
    if not step:
        return f"new when sliding: {shares} of a prompt"
    ratios = ", ".join(f"{by_step[step].new / by_step[_SLIDING].new:.2f}" for by_step in costs.values())
    return f"in steps of {step:g}: {shares}, which are {ratios} of the tokens"


ROWS: Final = (
    Row(
        name="prompt-cache",
        title="new tokens of a prompt, windows of 2,000, 4,000, 8,000",
        measured="steps of a quarter",
        against="sliding",
        unit="tokens",
        run=_run,
        target=Target(0.65, aim=0.55, at_most=True),
    ),
)
