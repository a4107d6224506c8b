"""Rules for states and active sessions: a part of the state machine of ``conversations``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, rule

from sessionhistory.v1 import session_history_service_pb2 as pb
from support import strategies as sent
from support.conversations_edits import ACTING, SESSION_IDS
from support.reference_rules import Refused

if TYPE_CHECKING:
    from sessionhistory.v1 import message_pb2 as mpb
    from sessionhistory.v1 import session_pb2 as spb
    from support.lockstep import Lockstep


class States:
    """Patch states, alone and together with messages."""

    both: Lockstep

    @rule(name=SESSION_IDS, user=ACTING, patch=sent.patches, expected=sent.expected_versions)
    def update_state(self, name: str, user: str, patch: str, expected: int | None) -> None:
        """Patch a state alone."""
        request = pb.UpdateStateRequest(session_id=name, user_id=self._user(user, name), patch=patch)
        self._expect(request, name, expected)
        if not isinstance(self._call("UpdateState", request), Refused):
            self._reach("state patched")

    @rule(
        target=Bundle("sent_appends"),
        name=SESSION_IDS,
        talk=sent.talks(max_size=3),
        create=st.none() | sent.sessions(active=True),
        patch=sent.patches | st.just(""),
        expected=sent.expected_versions,
        named=st.booleans(),
        back=st.sampled_from((None, None, 0, 1, 3)),
    )
    def append_with_state(
        self,
        name: str,
        talk: list[mpb.Message],
        create: spb.SessionFields | None,
        patch: str,
        expected: int | None,
        named: bool,  # noqa: FBT001 - drawn by name
        back: int | None,
    ) -> Any:
        """Append messages with a patch of the state, at the end of a session or in place of its end."""
        for message in talk:
            message.message_id = f"wamid={100 + next(self.numbers)}" if named else ""
        fields: dict[str, Any] = {"session_id": name, "new_session": create, "state_patch": patch}
        if len(talk) == 1:
            request: Any = pb.AppendMessageRequest(message=talk[0], **fields)
        else:
            after = None if back is None else self._before_the_end(name, back)
            request = pb.AppendMessagesRequest(messages=talk, keep_through_sequence=after, **fields)
        self._expect(request, name, expected)
        method = "AppendMessage" if len(talk) == 1 else "AppendMessages"
        response = self._call(method, request)
        if patch and not isinstance(response, Refused):
            self._reach("state patched with a message")
        return self._remember(request, response)

    @rule(
        user=st.sampled_from((*sent.USERS, "new", "")),
        application_id=st.sampled_from(("", *sent.APPLICATIONS)),
    )
    def get_active(self, user: str, application_id: str) -> None:
        """Read a user's active session, in any application or in one."""
        request = pb.GetActiveSessionRequest(user_id=user, application_id=application_id)
        response = self._call("GetActiveSession", request)
        found = "missing" if isinstance(response, Refused) else "read"
        self._reach(f"active session{' of an application' * bool(application_id)} {found}")

    @rule(
        user=st.sampled_from((*sent.USERS, "new", "")),
        new=st.none() | sent.sessions(),
        name=st.just("") | SESSION_IDS,
    )
    def ensure_active(self, user: str, new: spb.SessionFields | None, name: str) -> None:
        """Read a user's active session, or create one."""
        request = pb.EnsureActiveSessionRequest(user_id=user, new_session_id=name, new_session=new)
        response = self._call("EnsureActiveSession", request)
        if not isinstance(response, Refused):
            self._reach("active session made" if response.created else "active session found")

    def _expect(self, request: Any, name: str, expected: int | None) -> None:
        """Expect the present version, or the one beside it."""
        kept = self.both.reference.sessions.get(name)
        if expected is not None:
            request.expected_state_version = (kept.shown.state_version if kept else 0) + expected

    # Belongs to the machine that this class is a part of.
    numbers: Any
    _before_the_end: Any
    _call: Any
    _reach: Any
    _remember: Any
    _user: Any
