"""Rules that change all messages of a session: a part of the state machine of ``conversations``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support import strategies as sent
from support.reference_rules import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory.v1 import message_pb2 as mpb
    from support.lockstep import Lockstep
    from support.reference_kept import Kept

SESSION_IDS = st.sampled_from((*[sent.IDS[0]] * 6, *[sent.IDS[1]] * 3, *[sent.IDS[2]] * 2, sent.IDS[3]))
# "own" stands for the session's owner.
ACTING = st.sampled_from(("", "", "", *["own"] * 7, *sent.USERS))
ODDS = st.integers(0, 9)

# Counted from the end, mostly; 0 is the beginning.
BACK = st.sampled_from((0, 1, 1, 2, 2, 3, 4, 7, 12, 100, -1))


class Edits:
    """Truncate, replace, fork and reset."""

    both: Lockstep
    numbers: Iterator[int]
    _call: Any
    _reach: Any
    _user: Any

    @rule(name=SESSION_IDS, user=ACTING, back=BACK, odds=ODDS)
    def truncate(self, name: str, user: str, back: int, odds: int) -> None:
        """Truncate, often twice, sometimes with an expectation."""
        user_id, keep = self._user(user, name), self._before_the_end(name, back)
        request = pb.TruncateMessagesRequest(session_id=name, user_id=user_id, keep_through_sequence=keep)
        if odds > 5:
            request.expected_last_sequence = self._before_the_end(name, odds // 9)
        for _ in range(1 + odds % 2):
            response = self._call("TruncateMessages", request)
            if not isinstance(response, Refused) and response.removed_message_count:
                self._reach("messages removed")

    @rule(name=SESSION_IDS, talk=sent.talks(max_size=4), back=BACK, odds=ODDS, again=st.booleans())
    def replace(
        self,
        name: str,
        talk: list[mpb.Message],
        back: int,
        odds: int,
        again: bool,  # noqa: FBT001 - drawn by name
    ) -> None:
        """Replace the end by other messages, with ids that may be stored already or without ids."""
        after = self._before_the_end(name, back)
        for number, message in enumerate(talk, start=1):
            message.message_id = f"wamid={number + odds}" if odds < 7 else ""
        request = pb.AppendMessagesRequest(session_id=name, messages=talk, keep_through_sequence=after)
        if odds % 4 == 0:
            request.new_session.SetInParent()
        if odds == 5:
            request.expected_last_sequence = self._before_the_end(name, 0)
        for _ in range(1 + again):
            self._replace(request)

    @rule(name=SESSION_IDS, back=BACK, size=st.integers(1, 4), step=st.sampled_from((1, 1, -1)))
    def replace_with_what_is_stored(self, name: str, back: int, size: int, step: int) -> None:
        """Replace the end by stored messages, in their order or reversed."""
        after = self._before_the_end(name, back)
        kept = self._kept(name)
        ids = (
            [message.message_id for message in kept.messages if message.sequence > after - 1] if kept else []
        )
        batch = [kept.sent[message_id] for message_id in ids[:size][::step]] if kept else []
        if batch:
            self._replace(
                pb.AppendMessagesRequest(session_id=name, messages=batch, keep_through_sequence=after)
            )

    @rule(
        name=SESSION_IDS,
        new=st.none() | sent.sessions(),
        new_name=SESSION_IDS,
        user=ACTING,
        back=BACK,
        odds=ODDS,
    )
    def fork(
        self, name: str, new: spb.SessionFields | None, new_name: str, user: str, back: int, odds: int
    ) -> None:
        """Fork a session as a whole or in part, under an id that may be taken; often twice."""
        request = pb.ForkSessionRequest(session_id=name, user_id=self._user(user, name), new_session=new)
        if odds > 3:
            request.new_session_id = new_name if odds < 7 else f"f/{next(self.numbers)}"
        if odds == 9:
            request.new_user_id = "bob"
        if back:
            request.through_sequence = self._before_the_end(name, back)
        request.allow_existing = odds % 2 == 0
        for _ in range(1 + odds % 3):
            response = self._call("ForkSession", request)
            if not isinstance(response, Refused):
                self._reach("session forked" if response.created else "session forked before")

    @rule(
        name=SESSION_IDS,
        new=st.none() | sent.sessions(active=True),
        new_name=SESSION_IDS,
        user=ACTING,
        keeps=st.tuples(st.booleans(), st.booleans()),
        odds=ODDS,
    )
    def reset(
        self,
        name: str,
        new: spb.SessionFields | None,
        new_name: str,
        user: str,
        keeps: tuple[bool, bool],
        odds: int,
    ) -> None:
        """Reset a session, with or without its messages, often twice, then open it again.

        The new session's id may be taken.
        """
        request = pb.ResetSessionRequest(
            session_id=name,
            user_id=self._user(user, name),
            new_session=new,
            keep_messages=keeps[0],
            keep_state=keeps[1],
            previous_status=odds % 4,
        )
        if odds > 3:
            request.new_session_id = new_name if odds < 7 else f"r/{next(self.numbers)}"
        for attempt in range(1 + odds % 3):
            if not isinstance(self._call("ResetSession", request), Refused):
                self._reach("session reset before" if attempt else "session reset")
        opened = spb.SessionFields(status=spb.SESSION_STATUS_ACTIVE)
        self._call("UpdateSession", pb.UpdateSessionRequest(session_id=name, session=opened))

    def _replace(self, request: pb.AppendMessagesRequest) -> None:
        kept = self._kept(request.session_id)
        before = [message.sequence for message in kept.messages] if kept else []
        response = self._call("AppendMessages", request)
        if not isinstance(response, Refused):
            again = response.messages[0].sequence in before
            self._reach("messages replaced before" if again else "messages replaced")

    def _kept(self, name: str) -> Kept | None:
        return self.both.reference.sessions.get(name)

    def _before_the_end(self, name: str, back: int) -> int:
        kept = self._kept(name)
        return max((kept.shown.last_sequence if kept else 0) - back, 0)
