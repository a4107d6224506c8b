"""Rules for windows that steps move and that tools fill: a part of the state machine of ``conversations``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from support import strategies as sent
from support.conversations_edits import SESSION_IDS
from support.reference_run import tokens

if TYPE_CHECKING:
    from support.lockstep import Lockstep
    from support.reference_kept import Kept

_MAX_INT32 = 2**31 - 1
_OPTIONS = st.fixed_dictionaries(
    {},
    optional={"whole_responses": st.booleans(), "unanswered_calls": st.sampled_from((1, 2))},
)
_TENTHS = st.integers(0, 9)
_ENDS = st.sampled_from((None, None, None, 0, 1, 3))


class Stepping:
    """Read windows whose limits fit what a session holds."""

    both: Lockstep
    _call: Any

    @rule(name=SESSION_IDS, part=_TENTHS, step=_TENTHS, options=_OPTIONS, end=_ENDS)
    def step_by_tokens(
        self, name: str, part: int, step: int, options: dict[str, Any], end: int | None
    ) -> None:
        """Read a window whose budget has room for a part of the messages."""
        if kept := self.both.reference.sessions.get(name):
            newest = kept.messages[-(len(kept.messages) * part // 10) - 1 :]
            room = min(tokens(newest), _MAX_INT32)
            limits = {"token_budget": room, "step_tokens": room * step // 10, "max_messages": 1_000}
            self._read(kept, options | limits, end)

    @rule(name=SESSION_IDS, part=_TENTHS, step=_TENTHS, options=_OPTIONS, end=_ENDS)
    def step_by_messages(
        self, name: str, part: int, step: int, options: dict[str, Any], end: int | None
    ) -> None:
        """Read a window of a part of the messages."""
        if kept := self.both.reference.sessions.get(name):
            most = len(kept.messages) * part // 10 + 1
            limits = {"max_messages": most, "step_messages": most * step // 10, "token_budget": _MAX_INT32}
            self._read(kept, options | limits, end)

    @rule(
        name=SESSION_IDS,
        talk=sent.tool_talks(max_size=12),
        newest=st.integers(3, 15),
        options=_OPTIONS,
        limits=sent.limits,
    )
    def use_tools(
        self,
        name: str,
        talk: list[mpb.Message],
        newest: int,
        options: dict[str, Any],
        limits: dict[str, Any],
    ) -> None:
        """Append calls and results, and read them in windows of any and of fitting limits."""
        self._call("AppendMessages", pb.AppendMessagesRequest(session_id=name, messages=talk))
        if kept := self.both.reference.sessions.get(name):
            self._read(kept, options | {"max_messages": newest, "token_budget": _MAX_INT32}, None)
            self._read(kept, limits, None)
            self._read_the_newest_start(kept, options)

    def _read_the_newest_start(self, kept: Kept, options: dict[str, Any]) -> None:
        """Read a window that has just room for the newest message that is no result, and for its results."""
        starts = [place for place, message in enumerate(kept.messages) if message.role != mpb.ROLE_TOOL]
        room = min(tokens(kept.messages[max(starts, default=0) :]), _MAX_INT32)
        limits = {"token_budget": room, "step_tokens": room, "max_messages": 1_000, "include_pinned": False}
        self._read(kept, options | limits, None)

    def _read(self, kept: Kept, limits: dict[str, Any], end: int | None) -> None:
        before = None if end is None else max(kept.shown.last_sequence - end, 0)
        name = kept.shown.session_id
        self._call("GetHistory", pb.GetHistoryRequest(session_id=name, before_sequence=before, **limits))
