"""The order of the calls of one stream, against its rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sessionhistory_server.limits import MAX_STREAM_CALLS_OF_SESSION
from sessionhistory_server.rpc.streaming.session_order import READS, SessionOrder, appends_of

if TYPE_CHECKING:
    from sessionhistory_server.call_order import OrderedCall

GROUPS = st.sampled_from((READS, appends_of("u"), appends_of("v"), None))
ADDING = st.tuples(st.sampled_from("abc"), GROUPS, st.booleans())
ENDING = st.integers(0, 20)
"""Of the call with this number among those in progress, or the one that waits."""


@dataclass(eq=False)
class _Call:
    session_id: str
    group: str | None
    ends_group: bool
    order: OrderedCall | None = None


@dataclass
class _Stream:
    """A stream whose calls a test ends, and the rules of its order."""

    order: SessionOrder[_Call] = field(init=False)
    running: list[_Call] = field(default_factory=list)
    waiting: list[_Call] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    """The sessions whose group may get no more calls."""

    def __post_init__(self) -> None:
        self.order = SessionOrder(self._begin)

    def _begin(self, call: _Call) -> None:
        """Begin a call: the earlier ones of its session have ended, or may be in progress with it."""
        waiting = [each for each in self.waiting if each.session_id == call.session_id]
        assert waiting[0] is call
        for other in self.of(call.session_id):
            assert other.group == call.group
            assert other.group is not None
        assert call.session_id not in self.closed
        assert (call.order is not None) == (call.group not in {READS, None})
        self.waiting.remove(call)
        self.running.append(call)
        if call.ends_group:
            self.closed.add(call.session_id)

    def of(self, session_id: str) -> list[_Call]:
        """Return the calls of a session in progress."""
        return [each for each in self.running if each.session_id == session_id]

    def add(self, session_id: str, group: str | None, *, ends_group: bool) -> None:
        """Let a call arrive."""
        call = _Call(session_id, group, ends_group)
        self.waiting.append(call)
        self.order.add(call)

    def end(self, index: int) -> None:
        """End a call in progress."""
        if self.running:
            call = self.running.pop(index % len(self.running))
            if not self.of(call.session_id):
                self.closed.discard(call.session_id)
            self.order.end(call)

    def remove(self, index: int) -> None:
        """Remove a call that waits."""
        if self.waiting:
            self.order.remove(self.waiting.pop(index % len(self.waiting)))

    def check(self) -> None:
        """Check that no call waits in vain."""
        for call in self.waiting:
            running = self.of(call.session_id)
            assert running
            first = next(each for each in self.waiting if each.session_id == call.session_id)
            alike = all(each.group == first.group is not None for each in running)
            assert not alike or call.session_id in self.closed


@settings(derandomize=True, max_examples=500)
@given(st.lists(st.tuples(st.just("add"), ADDING) | st.tuples(st.sampled_from(("end", "remove")), ENDING)))
def test_the_rules_of_the_order(actions: list[tuple[str, Any]]) -> None:
    """Calls begin in their order, alike ones together, and as soon as they may."""
    stream = _Stream()
    for action, about in actions:
        if action == "add":
            session_id, group, ends_group = about
            stream.add(session_id, group, ends_group=ends_group)
        elif action == "end":
            stream.end(about)
        else:
            stream.remove(about)
        stream.check()
    while stream.running:
        stream.end(0)
    assert not stream.waiting
    assert not stream.order._sessions  # noqa: SLF001 - an ended session must leave nothing behind


def test_the_room_of_a_session() -> None:
    """A session has room for some calls on a stream, those included that wait."""
    stream = _Stream()
    for _ in range(MAX_STREAM_CALLS_OF_SESSION):
        assert stream.order.has_room("a")
        stream.add("a", None, ends_group=False)
    assert not stream.order.has_room("a")
    assert stream.order.has_room("b")
    stream.end(0)
    assert stream.order.has_room("a")
