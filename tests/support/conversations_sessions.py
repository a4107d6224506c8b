"""Rules for sessions themselves: a part of the state machine of ``conversations``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support import strategies as sent
from support.conversations_edits import ACTING, ODDS, SESSION_IDS
from support.reference_rules import MUTABLE, Refused
from support.reference_tokens import BYTES, CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.lockstep import Lockstep


class Sessions:
    """Create, read, change, delete and recount sessions."""

    stubs: Mapping[str, Any]
    both: Lockstep
    _call: Any
    _reach: Any
    _user: Any

    @rule(name=SESSION_IDS, session=sent.sessions(), owner=st.sampled_from(("", *sent.USERS)), odds=ODDS)
    def create(self, name: str, session: spb.SessionFields, owner: str, odds: int) -> None:
        """Create a session with an id of the caller or of the server."""
        named = {"session_id": "" if odds % 4 == 0 else name, "user_id": owner}
        request = pb.CreateSessionRequest(**named, session=session, allow_existing=odds % 2 == 1)
        self._call("CreateSession", request)

    @rule(name=SESSION_IDS, user=ACTING)
    def get(self, name: str, user: str) -> None:
        """Read one session."""
        self._call("GetSession", pb.GetSessionRequest(session_id=name, user_id=self._user(user, name)))

    @rule(
        name=SESSION_IDS,
        user=ACTING,
        session=sent.sessions(),
        paths=st.none() | st.lists(st.sampled_from((*MUTABLE, "*")), unique=True, max_size=4),
        etag=st.sampled_from((None, None, "now", "now", "other")),
        reopen=st.booleans(),
    )
    def update(
        self,
        name: str,
        user: str,
        session: spb.SessionFields,
        paths: list[str] | None,
        etag: str | None,
        reopen: bool,  # noqa: FBT001 - drawn by name
    ) -> None:
        """Update a session by mask or by presence, with or without an etag."""
        kept = self.both.reference.sessions.get(name)
        if etag == "now":
            self._call("GetSession", pb.GetSessionRequest(session_id=name))
        session.ClearField("application_id")  # it cannot change
        if reopen:
            session.status = spb.SESSION_STATUS_ACTIVE
        if paths is not None and len({"expire_time", "ttl"} & set(paths)) == 1:
            # The contract leaves open which of the two a mask means if it names the other one.
            paths = [*paths, "expire_time", "ttl"]
        request = pb.UpdateSessionRequest(session_id=name, user_id=self._user(user, name), session=session)
        request.etag = (kept.shown.etag if kept else "") if etag == "now" else etag or ""
        if paths is not None:
            request.update_mask.paths.extend(paths)
        self._call("UpdateSession", request)

    @rule(
        name=SESSION_IDS, change=st.sampled_from(({"status": 1}, {"status": 2}, {"status": 3}, {"title": ""}))
    )
    def change(self, name: str, change: dict[str, Any]) -> None:
        """Close a session or open it again, or clear its title."""
        session, mask = spb.SessionFields(**change), {"paths": [*change]}
        request = pb.UpdateSessionRequest(session_id=name, session=session, update_mask=mask)
        self._call("UpdateSession", request)

    @rule(name=SESSION_IDS, user=ACTING, odds=ODDS)
    def delete_or_restore(self, name: str, user: str, odds: int) -> None:
        """Undelete more often than delete, and purge rarely."""
        ref = {"session_id": name, "user_id": self._user(user, name)}
        if odds < 7:
            self._call("UndeleteSession", pb.UndeleteSessionRequest(**ref))
        else:
            request = pb.DeleteSessionRequest(purge=odds == 9, allow_missing=odds % 2 == 0, **ref)
            self._call("DeleteSession", request)

    @rule(counter=st.sampled_from((CHARACTERS, BYTES)))
    def go_to_the_server_of(self, counter: str) -> None:
        """Switch to the server that uses this counter, on the same database."""
        self.both.stub = self.stubs[counter]
        self.both.reference.counter = counter

    @rule(name=SESSION_IDS, user=ACTING, counters=st.permutations((BYTES, CHARACTERS)))
    def recount(self, name: str, user: str, counters: list[str]) -> None:
        """Recount a session with the counter of either server."""
        for counter in counters:
            self.go_to_the_server_of(counter)
            request = pb.RecountTokensRequest(session_id=name, user_id=self._user(user, name))
            response = self._call("RecountTokens", request)
            if not isinstance(response, Refused) and response.changed_message_count:
                self._reach("session recounted")
