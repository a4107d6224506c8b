"""The turns of calls: how many execute at a time, and which one is next."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessionhistory_server.rpc.load import arrivals
from sessionhistory_server.rpc.load import turns as module
from sessionhistory_server.rpc.load.arrivals import Arrivals
from sessionhistory_server.rpc.load.turns import Turns, Width
from support.waiting import until

if TYPE_CHECKING:
    from sessionhistory_server.rpc.load.turns import Turn

WIDTH = Width(alone=4, shared=3, of_tenant=2)
_NEVER = 1e6


@pytest.fixture(autouse=True)
def _no_call_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call is slow because the machine is, unless a test says so."""
    monkeypatch.setattr(module, "SLOW_SECONDS", _NEVER)


async def _settle(turns: Turns) -> None:
    if turns._server is not None:  # noqa: SLF001 - only tests wait for it
        await turns._server  # noqa: SLF001


def _executes(turn: Turn) -> bool:
    return turn.granted is None or (turn.granted.done() and not turn.granted.cancelled())


@dataclass
class _Line:
    """A line of calls, in the order in which they begin to execute."""

    arrivals: Arrivals = field(default_factory=Arrivals)
    turns: Turns = field(init=False)
    calls: dict[str, Turn] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.turns = Turns(WIDTH, self.arrivals)

    def take(self, *names: str) -> None:
        """Take a turn for each call; the first letter names its tenant, and the second its user."""
        for name in names:
            self.calls[name] = self.turns.take(name[0], name[1], asyncio.get_running_loop().time())
        self._note()

    async def end(self, *names: str) -> None:
        for name in names:
            self.calls.pop(name).end()
        await _settle(self.turns)
        self._note()

    def _note(self) -> None:
        new = [name for name, turn in self.calls.items() if _executes(turn) and name not in self.begun]
        self.begun += sorted(new, key=lambda name: self.calls[name].began)


async def test_calls_execute_at_once_while_there_are_places() -> None:
    """A lone tenant has all places, and the next call waits."""
    line = _Line()
    line.take("au1", "au2", "au3", "au4", "au5")
    assert line.begun == ["au1", "au2", "au3", "au4"]
    await line.end("au2")
    assert line.begun[4:] == ["au5"]


async def test_a_tenant_finds_a_place_beside_a_flood() -> None:
    """Once two tenants are present, the calls of one leave a place for the other."""
    line = _Line()
    line.take("bu1")
    await line.end("bu1")
    line.take("au1", "au2", "au3", "au4")
    assert line.begun == ["bu1", "au1", "au2"]
    line.take("bu2")
    assert line.begun[3:] == ["bu2"]


async def test_tenants_take_turns() -> None:
    """However many calls of one tenant wait, the next call of another waits for one of them."""
    line = _Line()
    line.take("xu1")
    await line.end("xu1")
    line.take("au1", "au2", "bu1", *(f"au{number}" for number in range(3, 9)), "bu2", "bu3", "cu1")
    for name in ("au1", "au2", "bu1", "au3", "bu2", "cu1"):
        await line.end(name)
    assert line.begun == ["xu1", "au1", "au2", "bu1", "au3", "bu2", "cu1", "au4", "bu3", "au5"]


async def test_users_of_a_tenant_take_turns() -> None:
    """Within a tenant the queues of users are served in turns, each in the order of arrival."""
    line = _Line()
    line.take("ax1", "ax2", "ax3", "ax4", "au1", "au2", "au3", "av1", "aw1", "av2")
    for name in ("ax1", "ax2", "ax3", "ax4", "au1", "av1"):
        await line.end(name)
    assert line.begun[4:] == ["au1", "av1", "aw1", "au2", "av2", "au3"]


async def test_a_call_that_leaves_the_queue_is_not_served() -> None:
    """A cancelled call gives up its place in the queue, also if it has just been granted its turn."""
    line = _Line()
    line.take("au1", "au2", "au3", "au4", "au5", "au6")
    await line.end("au5")
    waiting = line.calls["au6"].granted
    assert waiting is not None
    waiting.cancel()
    await line.end("au1")
    await line.end(*list(line.calls))
    assert line.turns.is_idle


async def test_calls_wait_until_the_event_loop_has_received_those_that_have_arrived() -> None:
    """While calls arrive, a waiting call is not begun, because a call of another tenant may be among them."""
    line = _Line()
    line.take("au1", "au2", "au3", "au4", "au5")
    line.calls["au1"].end()
    for _ in range(5 * arrivals.QUIET_TURNS):
        line.arrivals.note()
        await asyncio.sleep(0)
    assert not _executes(line.calls["au5"])
    await _settle(line.turns)
    assert _executes(line.calls["au5"])


async def test_calls_that_never_stop_arriving_do_not_stop_the_others() -> None:
    """After many arrivals a waiting call is begun, however many are still on their way."""
    line = _Line()
    line.take("au1", "au2", "au3", "au4", "au5")
    line.calls["au1"].end()
    for _ in range(arrivals.MOST_ARRIVALS + 5):
        line.arrivals.note()
        await asyncio.sleep(0)
    assert _executes(line.calls["au5"])


async def test_slow_calls_leave_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that wait for a lock do not hold up the others of their tenant, up to a bound."""
    monkeypatch.setattr(module, "SLOW_SECONDS", -1.0)  # every call is slow
    monkeypatch.setattr(module, "MAX_SLOW", 5)
    line = _Line()
    line.take(*(f"au{number}" for number in range(12)))
    turns = line.turns
    await until(lambda: sum(_executes(turn) for turn in line.calls.values()) == 5 + WIDTH.alone)
    assert len(turns._executing) == WIDTH.alone  # noqa: SLF001 - only tests ask
    await line.end(*list(line.calls))
    assert turns.is_idle


class _Model:
    """The rules in a few lines: queues of names by tenant and user, and rings of both."""

    def __init__(self) -> None:
        self.ring: list[str] = []
        self.users: dict[str, list[str]] = {}
        self.queues: dict[tuple[str, str], deque[str]] = {}
        self.executing: list[str] = []
        self.seen = ""

    def take(self, name: str) -> None:
        self.seen += name[0] if not self.seen or self.seen[-1] != name[0] else ""
        if name[0] not in self.ring and self._has_place(name[0]):
            self.executing.append(name)
            return
        if name[0] not in self.ring:
            self.ring.append(name[0])
        users = self.users.setdefault(name[0], [])
        if name[1] not in users:
            users.append(name[1])
        self.queues.setdefault((name[0], name[1]), deque()).append(name)

    def end(self, name: str) -> None:
        if name in self.executing:
            self.executing.remove(name)
        else:
            self.queues[name[0], name[1]].remove(name)
            self._tidy(name[0], name[1])
        while tenant := next((each for each in self.ring if self._has_place(each)), None):
            user = self.users[tenant][0]
            self.executing.append(self.queues[tenant, user].popleft())
            self.users[tenant].append(self.users[tenant].pop(0))
            self.ring.append(self.ring.pop(self.ring.index(tenant)))
            self._tidy(tenant, user)

    def _tidy(self, tenant: str, user: str) -> None:
        if not self.queues[tenant, user]:
            self.users[tenant].remove(user)
        if not self.users[tenant]:
            self.ring.remove(tenant)

    def _has_place(self, tenant: str) -> bool:
        if len(self.seen) < 2:
            return len(self.executing) < WIDTH.alone
        own = sum(name[0] == tenant for name in self.executing)
        return len(self.executing) < WIDTH.shared and own < WIDTH.of_tenant


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from(["au", "av", "bu", "bv", "cu"])),
        st.tuples(st.just("end"), st.integers(0, 50)),
    ),
    max_size=60,
)


@given(_STEPS)
@settings(
    derandomize=True,
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_turns_are_those_of_the_model(steps: list[tuple[str, str | int]]) -> None:
    """After any calls and ends, the same calls execute, and in the end nothing is left."""
    asyncio.run(_compare(steps))


async def _compare(steps: list[tuple[str, str | int]]) -> None:
    line, model = _Line(), _Model()
    for number, (step, which) in enumerate(steps):
        if step == "take":
            line.take(f"{which}{number}")
            model.take(f"{which}{number}")
        elif line.calls:
            name = list(line.calls)[int(which) % len(line.calls)]
            await line.end(name)
            model.end(name)
        executing = {name for name, turn in line.calls.items() if _executes(turn)}
        assert executing == set(model.executing)
    await line.end(*list(line.calls))
    assert line.turns.is_idle
