"""The methods of the client that change what a session has become."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory import _edit_requests, _responses
from sessionhistory.types import ForkSessionResult, ResetSessionResult, SessionStatus

if TYPE_CHECKING:
    from sessionhistory._sync.transport import Transport
    from sessionhistory.types import CompactHistoryResult, Message, Session, TruncateHistoryResult


class Edits:
    """A part of the client."""

    _transport: Transport

    def truncate_history(
        self,
        session_id: str,
        *,
        after_sequence: int,
        user_id: str | None = None,
        expected_last_sequence: int | None = None,
        timeout_seconds: float | None = None,
    ) -> TruncateHistoryResult:
        """Remove the messages after a sequence, for good; their sequences are not used again.

        Args:
            session_id: The session.
            after_sequence: The last one to keep; 0: none.
            user_id: The user the call acts for.
            expected_last_sequence: What the session's last must be, or ``SequenceMismatchError``: so that
                nothing is removed that was appended meanwhile.
            timeout_seconds: How long the call may take in all.
        """
        request = _edit_requests.truncate_history(
            session_id,
            after_sequence=after_sequence,
            user_id=user_id,
            expected_last_sequence=expected_last_sequence,
        )
        response = self._transport.call(
            "TruncateHistory",
            request,
            repeatable=expected_last_sequence is not None,
            timeout_seconds=timeout_seconds,
        )
        return _responses.truncate_history_result(response)

    def fork_session(
        self,
        session_id: str,
        session: Session | None = None,
        *,
        up_to_sequence: int | None = None,
        user_id: str | None = None,
        allow_existing: bool = False,
        timeout_seconds: float | None = None,
    ) -> ForkSessionResult:
        """Make a session with the messages of another: their ids, sequences and times are kept.

        Args:
            session_id: The session to copy.
            session: What the new one is to be, where it is to differ; without a ``session_id`` it gets one.
            up_to_sequence: The last message to copy; ``None``: all.
            user_id: The user the call acts for.
            allow_existing: Return the fork that has the id already, instead of ``SessionExistsError``.
            timeout_seconds: How long the call may take in all.
        """
        request = _edit_requests.fork_session(
            session_id,
            session,
            user_id=user_id,
            up_to_sequence=up_to_sequence,
            allow_existing=allow_existing,
        )
        response = self._transport.call(
            "ForkSession", request, repeatable=request.allow_existing, timeout_seconds=timeout_seconds
        )
        # An id that was made for this call is new, whichever of its attempts it was that made the session.
        created = response.created or not (session and session.session_id)
        return ForkSessionResult(session=_responses.session(response.session), created=created)

    def reset_session(
        self,
        session_id: str,
        session: Session | None = None,
        *,
        user_id: str | None = None,
        keep_history: bool = False,
        keep_state: bool = False,
        previous_status: SessionStatus = SessionStatus.COMPLETED,
        timeout_seconds: float | None = None,
    ) -> ResetSessionResult:
        """End an active session, and make a new one that goes on in its place.

        Args:
            session_id: The session to end.
            session: What the new one is to be, where it is to differ; without a ``session_id`` it gets one.
            user_id: The user the call acts for.
            keep_history: Whether the new one gets the messages and the title of the old one.
            keep_state: Whether it gets the old one's state.
            previous_status: What the old one becomes: ``COMPLETED`` or ``ABANDONED``.
            timeout_seconds: How long the call may take in all.
        """
        request = _edit_requests.reset_session(
            session_id,
            session,
            user_id=user_id,
            keep_history=keep_history,
            keep_state=keep_state,
            previous_status=previous_status,
        )
        response = self._transport.call("ResetSession", request, timeout_seconds=timeout_seconds)
        return ResetSessionResult(
            session=_responses.session(response.session),
            previous_session=_responses.session(response.previous_session),
        )

    def compact_history(
        self,
        session_id: str,
        summary: Message,
        *,
        through_sequence: int,
        user_id: str | None = None,
        expected_last_sequence: int | None = None,
        expected_compacted_through_sequence: int | None = None,
        timeout_seconds: float | None = None,
    ) -> CompactHistoryResult:
        """Store a summary that stands, in windows, for all unpinned messages up to one of them.

        The messages themselves stay. The same summary again returns the stored one; another one for the same
        messages replaces it.

        Args:
            session_id: The session.
            summary: The summary: not of a tool, without tool calls, not pinned.
            through_sequence: The last message that it covers.
            user_id: The user the call acts for.
            expected_last_sequence: What the session's last must be, or ``SequenceMismatchError``.
            expected_compacted_through_sequence: What the session's ``compacted_through_sequence`` must be, or
                ``CompactionMismatchError``: so that of several who compact it one gets through.
            timeout_seconds: How long the call may take in all.
        """
        request = _edit_requests.compact_history(
            session_id,
            summary,
            through_sequence=through_sequence,
            user_id=user_id,
            expected_last_sequence=expected_last_sequence,
            expected_compacted_through_sequence=expected_compacted_through_sequence,
        )
        response = self._transport.call("CompactHistory", request, timeout_seconds=timeout_seconds)
        return _responses.compact_history_result(response)
