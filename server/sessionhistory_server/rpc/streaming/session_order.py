"""The order of the calls of one stream: each behaves as if it began when the one before had ended."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from sessionhistory_server.call_order import OrderedCall
from sessionhistory_server.limits import MAX_STREAM_CALLS_OF_SESSION

if TYPE_CHECKING:
    from collections.abc import Callable


class SessionCall(Protocol):
    """A call that names a session."""

    session_id: str
    group: str | None
    """Calls with the same group may be in progress together; ``None``: it must be alone."""
    ends_group: bool
    """Whether no call after it may be in progress together with it."""
    order: OrderedCall | None
    """Its place among the appends of its group; set when an append begins."""


READS: Final = "reads"

C = TypeVar("C", bound=SessionCall)


def appends_of(user_id: str) -> str:
    """Return the group of the appends for a user. The store keeps their order by their places."""
    return f"appends {user_id}"


class SessionOrder(Generic[C]):
    """The calls of one stream by sessions.

    Alike calls that follow each other are a group: they are in progress together. When all calls of a group
    have ended, the calls of the next group begin in the order in which they arrived.

    Args:
        begin: Begins a call. It must not end the call at once.
    """

    def __init__(self, begin: Callable[[C], None]) -> None:
        self._begin = begin
        self._sessions: dict[str, _Session[C]] = {}
        """The sessions with calls in progress."""

    def has_room(self, session_id: str) -> bool:
        """Return whether a session may have one more call on the stream."""
        session = self._sessions.get(session_id)
        return session is None or session.running + len(session.waiting) < MAX_STREAM_CALLS_OF_SESSION

    def add(self, call: C) -> None:
        """Begin a call, now or when the calls before it have ended."""
        session = self._sessions.get(call.session_id)
        if session is None:
            session = self._sessions[call.session_id] = _Session()
        if session.waiting or not session.admits(call):
            session.waiting.append(call)
        else:
            session.enter(call)
            self._begin(call)

    def end(self, call: C) -> None:
        """Note the end of a call that has begun."""
        session = self._sessions[call.session_id]
        session.running -= 1
        if session.waiting:
            self._continue(session)
        elif not session.running:
            del self._sessions[call.session_id]

    def remove(self, call: C) -> None:
        """Remove a call that waits. Calls behind it may begin."""
        session = self._sessions[call.session_id]
        session.waiting.remove(call)
        self._continue(session)

    def _continue(self, session: _Session[C]) -> None:
        while session.waiting and session.admits(session.waiting[0]):
            call = session.waiting.popleft()
            session.enter(call)
            self._begin(call)


class _Session(Generic[C]):
    """The calls of a session: some in progress, which are of one group, and some that wait."""

    __slots__ = ("_group", "_is_closed", "_last", "running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.waiting: deque[C] = deque()
        self._group: str | None = None
        self._is_closed = False
        self._last: OrderedCall | None = None

    def admits(self, call: C) -> bool:
        """Return whether a call may begin now, if none waits before it."""
        if not self.running:
            return True
        return not self._is_closed and self._group is not None and call.group == self._group

    def enter(self, call: C) -> None:
        """Let a call join the calls in progress, or begin a group if there are none."""
        if not self.running:
            self._group = call.group
            self._last = None
        self.running += 1
        self._is_closed = call.ends_group
        if self._group not in {READS, None}:
            call.order = self._last = OrderedCall(self._last)
