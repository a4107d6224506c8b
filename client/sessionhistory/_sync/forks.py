"""The client's methods that create a session from another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory._codec.enums import SESSION_STATUSES
from sessionhistory._codec.fields import build
from sessionhistory._codec.ids import checked_owner_id, checked_user_id, new_id
from sessionhistory._codec.results import reset_session_result
from sessionhistory._codec.session import decode_session, encode_new_session
from sessionhistory.types import ForkSessionResult, SessionStatus
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from sessionhistory._sync.transport import Transport
    from sessionhistory.types import ResetSessionResult, SessionFields


class Forks:
    """The methods that create a session from another: copy one, or end one and continue in a new one."""

    _transport: Transport

    def fork_session(  # noqa: PLR0913 - of the contract
        self,
        session_id: str,
        new_session: SessionFields | None = None,
        *,
        new_session_id: str | None = None,
        new_user_id: str | None = None,
        through_sequence: int | None = None,
        user_id: str | None = None,
        allow_existing: bool = False,
        timeout_seconds: float | None = None,
    ) -> ForkSessionResult:
        """Create a session with the messages of another one. They keep their ids, sequences and times.

        Args:
            session_id: The session to copy.
            new_session: Fields of the new session. The server copies the fields that are empty, except the
                status, which is ``ACTIVE`` by default.
            new_session_id: The id of the new session; ``None``: the client makes one.
            new_user_id: The owner of the new session; ``None``: the owner of the original.
            through_sequence: The last sequence to copy, 0 for none; ``None``: all messages.
            user_id: The user that the call acts for.
            allow_existing: If ``new_session_id`` is taken by a fork of the same session, return that fork
                instead of raising ``SessionExistsError``.
            timeout_seconds: How long the call may take, with all its retries.
        """
        request = build(
            pb.ForkSessionRequest,
            session_id=session_id,
            user_id=checked_user_id(user_id),
            through_sequence=through_sequence,
            new_session_id=new_session_id or new_id(),
            new_user_id=checked_owner_id(new_user_id),
            new_session=encode_new_session(new_session, "new_session"),
            allow_existing=allow_existing or not new_session_id,
        )
        response = self._transport.call(
            "ForkSession", request, repeatable=request.allow_existing, timeout_seconds=timeout_seconds
        )
        # A session whose id the client has made is new, even if an earlier attempt created it.
        created = response.created or not new_session_id
        return ForkSessionResult(session=decode_session(response.session), created=created)

    def reset_session(  # noqa: PLR0913 - of the contract
        self,
        session_id: str,
        new_session: SessionFields | None = None,
        *,
        new_session_id: str | None = None,
        new_user_id: str | None = None,
        user_id: str | None = None,
        keep_messages: bool = False,
        keep_state: bool = False,
        previous_status: SessionStatus = SessionStatus.COMPLETED,
        timeout_seconds: float | None = None,
    ) -> ResetSessionResult:
        """End an active session, and create a new one that takes its place.

        Args:
            session_id: The session to end.
            new_session: Fields of the new session. The server copies the fields that are empty, except the
                title and the state.
            new_session_id: The id of the new session; ``None``: the client makes one.
            new_user_id: The owner of the new session; ``None``: the owner of the old one.
            user_id: The user that the call acts for.
            keep_messages: Whether the new session gets the messages, and the title, of the old one.
            keep_state: Whether the new session gets the state of the old one.
            previous_status: The new status of the old session: ``COMPLETED`` or ``ABANDONED``.
            timeout_seconds: How long the call may take, with all its retries.
        """
        request = build(
            pb.ResetSessionRequest,
            session_id=session_id,
            user_id=checked_user_id(user_id),
            new_session_id=new_session_id or new_id(),
            new_user_id=checked_owner_id(new_user_id),
            new_session=encode_new_session(new_session, "new_session"),
            keep_messages=keep_messages,
            keep_state=keep_state,
            previous_status=SESSION_STATUSES.encode(previous_status, "previous_status"),
        )
        response = self._transport.call("ResetSession", request, timeout_seconds=timeout_seconds)
        return reset_session_result(response)
