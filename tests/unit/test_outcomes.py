"""The outcomes of the calls of a stream that has ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from sessionhistory_server.rpc.streaming.outcomes import Outcomes


async def test_an_outcome_after_the_end_is_not_counted_as_unread() -> None:
    """A call may end after its stream. No one would ever give back the bytes of its outcome."""
    unread: list[int] = []
    sender: Any = SimpleNamespace(prepared=lambda size, _: unread.append(size))
    outcomes = Outcomes(cast("Any", sender), lambda: None)
    outcomes.drop()
    outcomes.add(b"late")
    await outcomes.send()
    assert not unread
    assert not outcomes.waiting
