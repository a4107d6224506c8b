"""Whatever its neighbours do, an append of a stream is stored after those before it."""

from __future__ import annotations

import asyncio
from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated_appends import QUIET_TURNS, TURNS, SimulatedDatabase, Streams, settle

from sessionhistory_server.store.appends import shared
from sessionhistory_server.store.postgres import admission, batching

if TYPE_CHECKING:
    from collections.abc import Callable

    Simulate = Callable[[int], SimulatedDatabase]

_KINDS = ["plain", "plain", "plain", "alone", "counted", "repeated", "other"]
_OUTCOMES = ["stored", "refused", "refused", "locked", "lost"]
_BEGIN = st.tuples(
    st.just("begin"),
    st.sampled_from(["p", "p", "p", "q", ""]),
    st.sampled_from("ssst"),
    st.sampled_from(_KINDS),
)
_EVENT = st.one_of(
    st.tuples(st.just("end"), st.integers(0, 2), st.sampled_from(_OUTCOMES)),
    st.tuples(st.just("end"), st.integers(0, 2), st.sampled_from(_OUTCOMES)),
    st.tuples(st.just("count")),
    st.tuples(st.just("cancel"), st.integers(0, 2)),
)
_STEPS = st.lists(
    st.tuples(st.one_of(_BEGIN, _EVENT), st.sampled_from([0, 2, TURNS])), min_size=4, max_size=14
)
"""Each with the turns of the event loop before the next one."""


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch) -> Simulate:
    """Simulates databases. Each statement counts as slow at once, and locks only by its outcome."""
    monkeypatch.setattr(batching, "_SLOW_SECONDS", 0)
    monkeypatch.setattr(batching, "_QUIET_TURNS", QUIET_TURNS)
    monkeypatch.setattr(admission, "_LOCKED_SECONDS", 600)

    def make(connections: int) -> SimulatedDatabase:
        found = SimulatedDatabase(connections)
        statements = SimpleNamespace(append_in_one_statement=found.append_in_one_statement)
        monkeypatch.setattr(shared, "together", statements)
        monkeypatch.setattr(shared, "append_at_once", found.append_at_once)
        monkeypatch.setattr(shared, "append", found.append)
        return found

    return make


@pytest.mark.parametrize("second", ["plain", "alone", "counted", "repeated", "other"])
@pytest.mark.parametrize("first", ["plain", "alone", "counted"])
def test_short_histories(simulate: Simulate, first: str, second: str) -> None:
    """Three appends of a stream are stored in order, however the oldest statement ends beside a cancellation.

    They arrive one by one, or all behind the statement of a fourth. Another session shares their connections.
    """
    cancellations = [[], [("cancel", 2)], [("cancel", 3)]]
    for connections, together, cancel, outcome, third in product(
        (1, 3), (False, True), cancellations, ("stored", "refused", "lost"), ("plain", "counted")
    ):
        appends = [("begin", "p", "s", kind) for kind in (first, second, third)]
        if together:
            appends.insert(0, ("begin", "p", "s", "plain"))
        steps = [("begin", "", "t", "plain"), *cancel, ("end", -1, outcome)]
        pauses = [TURNS, *[0 if together else TURNS] * (len(appends) - 1), *[TURNS] * len(steps)]
        history = list(zip([*appends, *steps], pauses, strict=True))
        print(connections, history)  # noqa: T201 - the last one is the one that failed
        asyncio.run(_play(simulate(connections), history))


def test_appends_share_behind_one_that_is_counted(simulate: Simulate) -> None:
    """Appends that wait for the count of the one before them share statements, and none goes alone."""
    database = simulate(2)
    steps: list[tuple[Any, int]] = [
        (("begin", "p", "s", kind), TURNS) for kind in ("counted", "plain", "plain", "plain")
    ]
    asyncio.run(_play(database, steps))
    assert len(database.statements) == 2
    assert not database.alone


@given(connections=st.integers(1, 3), steps=_STEPS)
@settings(
    derandomize=True,
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_append_overtakes(simulate: Simulate, connections: int, steps: list[tuple[Any, int]]) -> None:
    """An append is stored when each one before it has ended, or is stored; and every call ends."""
    asyncio.run(_play(simulate(connections), steps))


async def _play(database: SimulatedDatabase, steps: list[tuple[Any, int]]) -> None:
    streams = Streams(database)
    for (step, *values), turns in steps:
        getattr(streams, step)(*values)
        await settle(turns)
    await streams.finish()
