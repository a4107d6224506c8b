"""When the server closes the connections of peers that do not read their answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from sessionhistory_server.rpc.peers import watcher as module
from sessionhistory_server.rpc.peers.watcher import PeerWatcher

if TYPE_CHECKING:
    from collections.abc import Collection


class _Context:
    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"


@pytest.mark.parametrize(
    ("patience", "waited", "is_ended"), [(0.1, 0.5, False), (0.1, 1.5, True), (9, 1.5, False), (9, 10, True)]
)
async def test_an_answer_may_be_unread_for_a_second_at_least(
    monkeypatch: pytest.MonkeyPatch, patience: float, waited: float, *, is_ended: bool
) -> None:
    """A peer may leave an answer unread for at least a second, however short the default deadline is."""
    ended: list[str] = []

    def shut_down(found: Collection[str]) -> set[str]:
        ended.extend(found)
        return set(found)

    monkeypatch.setattr(module.sockets, "shut_down", shut_down)
    watcher = PeerWatcher(seconds=patience, max_memory_mib=4_096, count_ended=lambda: None)
    exchange = watcher.enter(cast("Any", _Context()), time.monotonic())
    exchange.answered_once(10)
    exchange.unread_since = time.monotonic() - waited
    watcher.sweep()
    assert bool(ended) == is_ended
