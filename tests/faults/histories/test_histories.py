"""The answers of concurrent callers of one session are those of some sequential order."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from history_checker import Operation, check, culprits, explain
from history_model import Call, Stored
from history_schedules import USERS, Schedule, delays

from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from support.service import connect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from support.service import Service

SCHEDULES = 60
LONG_SCHEDULES = 2_000
AT_ONCE = 6

_FIRST = Stored(1, "a", "one")
_NOT_FOUND = ("refused", "SESSION_NOT_FOUND")


def _appended(message_id: str, content: str, begun: int, ended: int, outcome: tuple[Any, ...]) -> Operation:
    call = Call("append", "ann", (((message_id, content),), None, True))
    return Operation(call, outcome, begun, ended)


MADE = _appended("a", "one", 0, 1, ("ok", (1,), 1, 1, True))

EXPLAINED = {
    "one after the other": [MADE, Operation(Call("list messages", "ann"), ("ok", (_FIRST,)), 2, 3)],
    "a read before what it overlaps": [
        MADE,
        _appended("b", "two", 2, 5, ("ok", (2,), 2, 2, False)),
        Operation(Call("list messages", "ann"), ("ok", (_FIRST,)), 3, 4),
    ],
    "another user's in between": [
        MADE,
        Operation(Call("purge", "ann"), ("ok", 1, 1), 2, 3),
        Operation(Call("create", "bob"), ("ok", True), 4, 7),
        Operation(Call("list messages", "ann"), _NOT_FOUND, 5, 6),
    ],
    "a window after its append": [
        MADE._replace(ended=5),
        Operation(Call("window", "ann"), ("ok", ("one",), 1), 0, 5, follows=0),
    ],
}

UNEXPLAINED = {
    "a read that comes too late": [
        MADE,
        _appended("b", "two", 2, 3, ("ok", (2,), 2, 2, False)),
        Operation(Call("list messages", "ann"), ("ok", (_FIRST,)), 4, 5),
    ],
    "row 4: another user's message": [
        MADE,
        Operation(Call("purge", "ann"), ("ok", 1, 1), 2, 3),
        Operation(Call("append", "bob", ((("s", "secret"),), None, True)), ("ok", (1,), 1, 1, True), 4, 5),
        Operation(Call("list messages", "ann"), ("ok", (Stored(1, "s", "secret"),)), 2, 9),
    ],
    "row 9: counters from before the message": [
        MADE,
        _appended("b", "two", 2, 8, ("ok", (2,), 2, 2, False)),
        _appended("b", "two", 3, 9, ("ok", (2,), 1, 1, False)),
    ],
    "row 10: a session that was there all the time": [
        MADE,
        Operation(Call("delete", "ann"), ("ok", 1, 1), 2, 8),
        Operation(Call("undelete", "ann"), _NOT_FOUND, 3, 9),
    ],
    "a window before its append": [
        MADE._replace(ended=5),
        Operation(Call("window", "ann"), _NOT_FOUND, 0, 5, follows=0),
    ],
    "a fork of two moments": [
        MADE,
        _appended("b", "two", 2, 9, ("ok", (2,), 2, 2, False)),
        Operation(Call("fork", "ann"), ("ok", 2, 1, 0), 3, 8),
    ],
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_the_checker_explains(name: str) -> None:
    """A history that some order explains is accepted, with such an order."""
    verdict = check(EXPLAINED[name])
    assert verdict.linearizable
    assert sorted(verdict.order) == list(range(len(EXPLAINED[name])))


@pytest.mark.parametrize("name", UNEXPLAINED)
def test_the_checker_refuses(name: str) -> None:
    """A history that no order explains is refused, with the operations that do not fit."""
    history = UNEXPLAINED[name]
    verdict = check(history)
    assert not verdict.linearizable
    assert "would be" in explain(history, verdict)
    assert history[-1] in culprits(history)


class Figures(NamedTuple):
    """The figures of a run of schedules."""

    schedules: int
    operations: int
    positions: int
    kinds: Counter[str]
    unexplained: list[str]


async def test_concurrent_calls_are_linearizable(
    serve: Callable[..., Awaitable[Service]],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    rounds: Callable[[int, int], int],
    record: Callable[..., None],
) -> None:
    """Random schedules of all operations on a session, with delays between the server's statements."""
    service = await serve(database_url, pool_size=16)
    began = time.monotonic()
    with delays(monkeypatch, random.Random(0)):
        figures = await _run(service, rounds(SCHEDULES, LONG_SCHEDULES))
    assert not figures.unexplained, "\n\n".join([_said(figures), *figures.unexplained[:3]])
    assert all(figures.kinds[kind] for kind in ("undelete refused", "append refused", "list messages ok"))
    record(
        "histories of a session",
        schedules=figures.schedules,
        operations=figures.operations,
        positions_searched=figures.positions,
        schedules_not_explained=len(figures.unexplained),
        seconds=round(time.monotonic() - began),
    )


async def _run(service: Service, count: int) -> Figures:
    seeds, histories = itertools.count(), []
    async with AsyncExitStack() as stack:

        async def one_after_the_other(lane: int) -> None:
            channels = [await stack.enter_async_context(connect(service.address)) for _ in USERS]
            stubs: list[Any] = [pb_grpc.SessionHistoryServiceStub(channel) for channel in channels]
            for _ in range(lane, count, AT_ONCE):
                seed = next(seeds)
                histories.append(await Schedule(f"session-{seed}", seed, stubs).run())
                if len(histories) % 100 == 0:
                    print(f"{len(histories):,} of {count:,} schedules")  # noqa: T201 - progress

        await asyncio.gather(*map(one_after_the_other, range(AT_ONCE)))
    return _figures(histories)


def _figures(histories: list[list[Operation]]) -> Figures:
    verdicts = [check(history) for history in histories]
    unexplained = list(_unexplained(histories, verdicts))
    kinds = Counter(f"{one.call.kind} {one.outcome[0]}" for history in histories for one in history)
    return Figures(
        len(histories), kinds.total(), sum(verdict.positions for verdict in verdicts), kinds, unexplained
    )


def _unexplained(histories: list[list[Operation]], verdicts: list[Any]) -> Iterator[str]:
    for history, verdict in zip(histories, verdicts, strict=True):
        if not verdict.linearizable:
            found = [f"{one.call.kind} of {one.call.user}" for one in culprits(history)]
            yield f"without any of {found} it could be explained:\n{explain(history, verdict)}"


def _said(figures: Figures) -> str:
    return (
        f"{figures.schedules} schedules, {figures.operations} operations, "
        f"{len(figures.unexplained)} schedules not explained, {figures.positions} positions searched"
    )
