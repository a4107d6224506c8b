"""The methods of the client that change what a session has become."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory import _requests, _responses

if TYPE_CHECKING:
    from sessionhistory._sync.transport import Transport
    from sessionhistory.types import TruncateHistoryResult


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
        request = _requests.truncate_history(
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
