"""A state machine that makes callers' calls in any order, on the service and on its reference."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support import strategies as sent
from support.conversations_appends import Appends
from support.conversations_compaction import Compacting
from support.conversations_edits import SESSION_IDS, Edits
from support.conversations_reading import Reading
from support.conversations_sessions import Sessions
from support.conversations_state import States
from support.conversations_stepping import Stepping
from support.conversations_streams import Streams
from support.conversations_windows import cases
from support.databases import execute
from support.lockstep import Lockstep
from support.reference import Reference
from support.reference_rules import Refused
from support.reference_tokens import CHARACTERS
from support.strategies_nonsense import NONSENSE

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

DEFAULTS: dict[str, Any] = {
    "max_messages": 12,
    "token_budget": 400,
    "step_tokens": 30,
    "model_token_budgets": {"m": 40},
    "model_step_tokens": {"m": 10},
}


class Conversations(
    Sessions, Appends, Reading, Stepping, Edits, States, Streams, Compacting, RuleBasedStateMachine
):
    """Calls of any method in any order."""

    # Set before the machine runs.
    stubs: Mapping[str, Any]
    database_url: str
    reached: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.both = Lockstep(self.stubs[CHARACTERS], Reference(**DEFAULTS))
        self.numbers = itertools.count()

    def teardown(self) -> None:
        """Remove all sessions before the next example."""
        tables = ("messages", "summaries", "sessions")
        execute(self.database_url, *(f"delete from {table}" for table in tables))

    @initialize(talks=st.tuples(*[sent.talks(max_size=15)] * 3), session=sent.sessions(active=True))
    def begin(self, talks: tuple[list[mpb.Message], ...], session: spb.SessionFields) -> None:
        """Start with three sessions that hold messages."""
        for number, (talk, owner) in enumerate(zip(talks, ("ann", "ann", "bob"), strict=True), start=1):
            made = session if number == 1 else spb.SessionFields()
            named = {"session_id": sent.IDS[number - 1], "user_id": owner}
            self._call("AppendMessages", pb.AppendMessagesRequest(**named, messages=talk, new_session=made))

    @rule(name=SESSION_IDS, which=st.integers(0, 99))
    def send_nonsense(self, name: str, which: int) -> None:
        """Send a request that is refused before anything is looked up."""
        method, request = NONSENSE[which % len(NONSENSE)]
        if "session_id" in request.DESCRIPTOR.fields_by_name and not request.session_id:
            request = type(request).FromString(request.SerializeToString())
            request.session_id = name
        self._call(method, request)

    def _user(self, user: str, name: str) -> str:
        if user != "own":
            return user
        kept = self.both.reference.sessions.get(name)
        return kept.shown.user_id if kept else ""

    def _call(self, method: str, request: Any) -> Any:
        response = self.both.call(method, request)
        if isinstance(response, Refused):
            self._reach(f"{response.code} {response.reason}")
            return response
        if "history" in response.DESCRIPTOR.fields_by_name and response.HasField("history"):
            asked = request if method == "GetHistory" else request.history
            self._reach_window(response.history, asked, request.session_id or response.session_id)
        if method.startswith("Append"):
            if response.session_created:
                self._reach("session made by an append")
            newest = (response.messages if method == "AppendMessages" else [response.message])[-1]
            if newest.sequence < response.last_sequence:
                self._reach("append stored before")
            shown = self.both.reference.sessions[response.session_id].shown
            if newest.role == mpb.ROLE_USER and newest.content and not shown.title:
                self._reach("no title after a cleared one")
            if response.last_sequence >= 40:
                self._reach("session of forty messages")
        return response

    def _reach_window(
        self, history: hpb.History, asked: pb.GetHistoryRequest | hpb.HistoryOptions, name: str
    ) -> None:
        reference = self.both.reference
        kept = reference.sessions[name]
        for case in cases(kept, reference.limits(kept, asked), history):
            self._reach(case)
        if asked.HasField("max_turns"):
            self._reach(f"turns cut {hpb.HistoryCut.Name(history.cut)}")
        self._reach(f"cut {hpb.HistoryCut.Name(history.cut)}")
        through = history.summary.through_sequence
        run = [m.sequence for m in history.messages if not m.pinned and m.sequence != through]
        if any(message.pinned for message in history.messages):
            self._reach("window with pinned messages")
        if through:
            self._reach(f"window with a summary, cut {hpb.HistoryCut.Name(history.cut)}")
        if history.HasField("next_before_sequence") and history.next_before_sequence not in run:
            self._reach("window without all tool results")

    def _reach(self, what: str) -> None:
        event(what)
        self.reached[what] += 1
