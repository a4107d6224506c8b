"""Rules for compactions: a part of the state machine of ``conversations``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from support import strategies as sent
from support.conversations_edits import ACTING, SESSION_IDS
from support.reference_rules import Refused

if TYPE_CHECKING:
    from support.lockstep import Lockstep


@st.composite
def _summaries(draw: st.DrawFn) -> mpb.Message:
    """Return a message that can be a summary."""
    message = draw(sent.messages())
    del message.tool_calls[:]
    message.pinned = False
    if message.role == mpb.ROLE_TOOL:
        message.role = mpb.ROLE_UNSPECIFIED
    if not (message.content or message.parts or message.payload):
        message.content = "so far"
    return message


class Compacting:
    """Compact sessions, and read and truncate them around their summaries."""

    both: Lockstep
    _call: Any
    _reach: Any
    _user: Any

    @rule(
        name=SESSION_IDS,
        user=ACTING,
        message=_summaries(),
        back=st.sampled_from((0, 1, 1, 2, 3, 5, 8, 13, -1)),
        named=st.sampled_from(("", "", "sum-1", "sum-2")),
        expected=st.sampled_from((None, None, "now", "now", "other")),
    )
    def compact(
        self, name: str, user: str, message: mpb.Message, back: int, named: str, expected: str | None
    ) -> None:
        """Store a summary through a message near the end, and retry it; some attempts are refused."""
        kept = self.both.reference.sessions.get(name)
        message.message_id = named
        request = self._compaction(name, back, message)
        request.user_id = self._user(user, name)
        if expected and kept:
            wrong = expected == "other"
            request.expected_compacted_through_sequence = kept.shown.compacted_through_sequence + wrong
            if named:
                request.expected_last_sequence = kept.shown.last_sequence + wrong
        if isinstance(self._call("CompactHistory", request), Refused) or back % 2:
            return
        self._call("CompactHistory", request)
        self._reach("summary stored before")

    @rule(
        name=SESSION_IDS,
        back=st.integers(0, 9),
        message=_summaries(),
        limits=sent.limits | st.fixed_dictionaries({"max_turns": st.integers(0, 2)}),
        end=st.sampled_from((None, -1, 0, 1, 2, 4)),
    )
    def look_around_a_summary(
        self, name: str, back: int, message: mpb.Message, limits: dict[str, Any], end: int | None
    ) -> None:
        """Read windows that end before the covered messages, with them, and after them."""
        request = self._compaction(name, back, message)
        if kept := self.both.reference.sessions.get(name):
            pinned = [message.sequence for message in kept.messages if message.pinned]
            request.through_sequence = pinned[-1] if pinned and back > 6 else request.through_sequence
        response = self._call("CompactHistory", request)
        if isinstance(response, Refused):
            return
        through = response.summary.through_sequence
        if through < request.through_sequence:
            self._reach("summary in the place before a pinned message")
        before = None if end is None else max(through + end, 0)
        self._call("GetHistory", pb.GetHistoryRequest(session_id=name, before_sequence=before, **limits))

    @rule(name=SESSION_IDS, back=st.integers(0, 9), message=_summaries(), end=st.sampled_from((-1, 0, 1)))
    def truncate_around_a_summary(self, name: str, back: int, message: mpb.Message, end: int) -> None:
        """Truncate covered messages, which removes the summary, or only the messages after them."""
        response = self._call("CompactHistory", self._compaction(name, back, message))
        if isinstance(response, Refused):
            return
        through = response.summary.through_sequence + end
        request = pb.TruncateMessagesRequest(session_id=name, keep_through_sequence=through)
        if not isinstance(self._call("TruncateMessages", request), Refused):
            self._reach("summary removed" if end < 0 else "summary kept")
        self._call("GetHistory", pb.GetHistoryRequest(session_id=name))

    def _compaction(self, name: str, back: int, message: mpb.Message) -> pb.CompactHistoryRequest:
        kept = self.both.reference.sessions.get(name)
        through = max((kept.shown.last_sequence if kept else 0) - back, 1)
        return pb.CompactHistoryRequest(session_id=name, through_sequence=through, message=message)
