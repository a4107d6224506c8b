"""Rules for appends: a part of the state machine of ``conversations``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, multiple, rule

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support import strategies as sent
from support.conversations_edits import ACTING, ODDS, SESSION_IDS
from support.reference_rules import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.lockstep import Lockstep


class Appends:
    """Append one message or several, new or sent before."""

    sent_appends = Bundle("sent_appends")

    both: Lockstep
    numbers: Iterator[int]
    _call: Any
    _reach: Any
    _user: Any

    @rule(
        target=sent_appends,
        name=SESSION_IDS,
        user=ACTING,
        message=sent.messages(),
        number=st.integers(1, 12),
        create=st.none() | sent.sessions(active=True),
        limits=st.none() | sent.limits,
        odds=ODDS,
    )
    def append(
        self,
        name: str,
        user: str,
        message: mpb.Message,
        number: int,
        create: spb.SessionFields | None,
        limits: dict[str, Any] | None,
        odds: int,
    ) -> Any:
        """Append one message, with an id that may be taken or without an id."""
        unused = f"wamid={100 + next(self.numbers)}"
        message.message_id = f"wamid={number}" if odds < 2 else unused if odds < 8 else ""
        request = pb.AppendMessageRequest(
            session_id=name, user_id=self._user(user, name), message=message, new_session=create
        )
        if limits is not None:
            request.history.CopyFrom(hpb.HistoryOptions(**limits))
        if odds > 6:
            kept = self.both.reference.sessions.get(name)
            request.expected_last_sequence = (kept.shown.last_sequence if kept else 0) + (odds == 9)
        if create is not None and odds == 5:
            request.session_id = ""
        return self._remember(request, self._call("AppendMessage", request))

    @rule(
        target=sent_appends,
        name=SESSION_IDS,
        talk=sent.talks(max_size=12),
        numbers=st.permutations(range(1, 13)),
        create=st.none() | sent.sessions(active=True),
        odds=ODDS,
    )
    def append_batch(
        self,
        name: str,
        talk: list[mpb.Message],
        numbers: list[int],
        create: spb.SessionFields | None,
        odds: int,
    ) -> Any:
        """Append a batch, some of whose messages have ids; all are stored or none."""
        for message, number in zip(talk, numbers, strict=False):
            unused = f"wamid={100 + next(self.numbers)}"
            message.message_id = f"wamid={number}" if odds < 2 and number < 3 else unused if odds < 8 else ""
        request = pb.AppendMessagesRequest(session_id=name, messages=talk, new_session=create)
        if odds >= 8:
            request.messages.extend([mpb.Message(role=mpb.ROLE_SYSTEM, pinned=True)] * 64)
        return self._remember(request, self._call("AppendMessages", request))

    @rule(
        request=sent_appends, change=st.sampled_from(("", "", "content", "token_count", "status", "window"))
    )
    def append_again(self, request: Any, change: str) -> None:
        """Send an earlier append again, unchanged or with another content."""
        again = type(request)()
        again.CopyFrom(request)
        single = isinstance(again, pb.AppendMessageRequest)
        message = again.message if single else again.messages[-1]
        if change == "window" and single:
            again.history.SetInParent()
        elif change == "status":
            message.status = mpb.MESSAGE_STATUS_INTERRUPTED
        elif change == "token_count":
            message.token_count ^= 1
        elif change == "content":
            message.content += "!"
        self._call("AppendMessages" if not single else "AppendMessage", again)

    @rule(
        name=SESSION_IDS,
        first=st.integers(0, 40),
        step=st.sampled_from((1, 1, 2, -1)),
        size=st.integers(1, 4),
    )
    def append_what_is_stored(self, name: str, first: int, step: int, size: int) -> None:
        """Send stored messages as one batch, consecutive or not."""
        kept = self.both.reference.sessions.get(name)
        if kept and kept.sent:
            stored = list(kept.sent.values())
            first %= len(stored)
            batch = stored[first::step][:size]
            request = pb.AppendMessagesRequest(session_id=name, messages=batch)
            if not isinstance(self._call("AppendMessages", request), Refused) and size > 1:
                self._reach("batch stored before")

    def _remember(self, request: Any, response: Any) -> Any:
        """Keep the messages that were stored under the caller's ids, so that a rule can send them again."""
        asked = [request.message] if isinstance(request, pb.AppendMessageRequest) else request.messages
        known = not isinstance(response, Refused) and all(message.message_id for message in asked)
        return request if known and request.session_id else multiple()
