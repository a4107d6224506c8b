"""Random schedules: a few clients on one session, with delays between the server's statements."""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from history_calls import make, window_of
from history_checker import Operation
from history_model import Call

from sessionhistory_server.store.postgres.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

USERS = ("ann", "ann", "ann", "bob")
CALLS = 5

_LONGEST_DELAY_SECONDS = 0.004

_WEIGHTS = {
    "append": 5,
    "append again": 4,
    "append with history": 2,
    "batch": 2,
    "create": 1,
    "replace": 2,
    "truncate": 2,
    "compact": 2,
    "fork": 1,
    "patch": 1,
    "delete": 2,
    "undelete": 4,
    "purge": 2,
    "get session": 2,
    "get message": 2,
    "list messages": 4,
    "window": 3,
}


@contextmanager
def delays(monkeypatch: pytest.MonkeyPatch, generator: random.Random) -> Iterator[None]:
    """Delay about every other statement of the server before it is sent."""
    send = Connection.fetch

    async def fetch(connection: Connection, query: Any, parameters: Any, **options: Any) -> Any:
        await asyncio.sleep(max(generator.uniform(-1, 1), 0) * _LONGEST_DELAY_SECONDS)
        return await send(connection, query, parameters, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "fetch", fetch)
        yield


class Schedule:
    """The calls of some clients on one session, and their history."""

    def __init__(self, session_id: str, seed: int, stubs: list[Any]) -> None:
        self.history: list[Operation] = []
        self._session_id = session_id
        self._random = random.Random(seed)
        self._stubs = stubs
        self._clock = itertools.count()
        self._numbers = itertools.count(1)
        self._sent: list[tuple[tuple[str, str], ...]] = []
        self._last = 3

    async def run(self) -> list[Operation]:
        """Create a session, let all clients make their calls, then read the session."""
        await self._make(self._stubs[0], Call("append", "ann", (self._new(3), None, True)))
        await asyncio.gather(*map(self._client, self._stubs, USERS))
        for user in set(USERS):
            for kind in ("list messages", "get session", "window"):
                await self._make(self._stubs[0], Call(kind, user))
        return self.history

    async def _client(self, stub: Any, user: str) -> None:
        for _ in range(CALLS):
            (kind,) = self._random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
            call = self._call(kind, user)
            await self._make(stub, call, history=kind == "append with history")

    async def _make(self, stub: Any, call: Call, *, history: bool = False) -> None:
        begun = next(self._clock)
        outcome, window = await make(stub, self._session_id, call, history=history)
        ended = next(self._clock)
        self.history.append(Operation(call, outcome, begun, ended))
        if outcome[0] == "ok" and call.kind in ("append", "replace"):
            self._last = max(self._last, outcome[2])
        if history and outcome[0] == "ok":
            self._add_window(call.user, window, begun, ended)

    def _add_window(self, user: str, window: Any, begun: int, ended: int) -> None:
        """Add the window that came with an append as an operation of its own after the append."""
        there = window.last_sequence > 0
        outcome = window_of(window) if there else ("refused", "SESSION_NOT_FOUND")
        place = len(self.history) - 1
        self.history.append(Operation(Call("window", user), outcome, begun, ended, follows=place))

    def _call(self, kind: str, user: str) -> Call:
        if kind.startswith(("append", "batch")):
            return self._append(kind, user)
        return Call(kind, user, self._arguments(kind))

    def _append(self, kind: str, user: str) -> Call:
        again = kind == "append again"
        # Often the first call still runs, and as often the second call's expectation is wrong.
        new = self._random.choice(self._sent[-3:]) if again else self._new(2 if kind == "batch" else 1)
        expects = self._random.random() < (0.5 if again else 0.1)
        expected = self._random.randint(max(self._last - 1, 0), self._last) if expects else None
        return Call("append", user, (new, expected, self._random.random() < 0.3))

    def _new(self, count: int) -> tuple[tuple[str, str], ...]:
        numbers = [next(self._numbers) for _ in range(count)]
        new = tuple((f"m{number}", f"message {number}") for number in numbers)
        self._sent.append(new)
        return new

    def _arguments(self, kind: str) -> tuple[Any, ...]:
        near = self._random.randint(max(self._last - 3, 0), self._last)
        match kind:
            case "replace":
                return near, self._new(self._random.randint(1, 2))
            case "truncate":
                return (near,)
            case "compact":
                return (max(near, 1),)
            case "patch":
                expected = self._random.randint(0, 2) if self._random.random() < 0.3 else None
                return self._random.randint(1, 99), expected
            case "get message":
                return (self._random.choice(self._sent)[0][0],)
            case _:
                return ()
