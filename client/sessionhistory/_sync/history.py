"""The client's methods for the history that a model reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory._codec.fields import build
from sessionhistory._codec.history import decode_history
from sessionhistory._codec.ids import checked_user_id
from sessionhistory._codec.message import encode_message
from sessionhistory._codec.results import compact_history_result
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from sessionhistory._sync.transport import Transport
    from sessionhistory.types import CompactHistoryResult, History, Message


class Histories:
    """The methods that read the history for a model, and shorten it by summaries."""

    _transport: Transport

    def get_history(  # noqa: PLR0913 - of the contract
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        max_messages: int | None = None,
        token_budget: int | None = None,
        before_sequence: int | None = None,
        include_pinned: bool | None = None,
        max_turns: int | None = None,
        timeout_seconds: float | None = None,
    ) -> History:
        """Return the context for the next model call: the newest messages that fit the limits.

        Args:
            session_id: The session.
            user_id: The user that the call acts for.
            max_messages: At most this many, 0 to 1,000; ``None``: the session's limit, else the server's.
            token_budget: At most this many tokens; ``None``: the session's limit, else the server's.
            before_sequence: Only messages before this one.
            include_pinned: Whether to include pinned messages; ``None``: include them.
            max_turns: At most this many turns of the newest messages, each whole; ``None``: the oldest turn
                may be cut.
            timeout_seconds: How long the call may take, with all its retries.
        """
        request = build(
            pb.GetHistoryRequest,
            session_id=session_id,
            user_id=checked_user_id(user_id),
            max_messages=max_messages,
            token_budget=token_budget,
            before_sequence=before_sequence,
            include_pinned=include_pinned,
            max_turns=max_turns,
        )
        response = self._transport.call("GetHistory", request, timeout_seconds=timeout_seconds)
        return decode_history(response.history)

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
        """Store a summary. In histories it replaces all unpinned messages up to ``through_sequence``.

        The messages themselves stay. The same summary again returns the stored one; another summary of the
        same messages replaces it.

        Args:
            session_id: The session.
            summary: The summary: not of the role ``TOOL``, without tool calls, not pinned.
            through_sequence: The last message that the summary covers.
            user_id: The user that the call acts for.
            expected_last_sequence: The last sequence that the session must have; otherwise the call raises
                ``SequenceMismatchError``.
            expected_compacted_through_sequence: The ``compacted_through_sequence`` that the session must
                have; otherwise the call raises ``CompactionMismatchError``. Of concurrent callers that
                compact the session, one succeeds.
            timeout_seconds: How long the call may take, with all its retries.
        """
        request = build(
            pb.CompactHistoryRequest,
            session_id=session_id,
            user_id=checked_user_id(user_id),
            through_sequence=through_sequence,
            message=encode_message(summary, "message"),
            expected_last_sequence=expected_last_sequence,
            expected_compacted_through_sequence=expected_compacted_through_sequence,
        )
        response = self._transport.call("CompactHistory", request, timeout_seconds=timeout_seconds)
        return compact_history_result(response)
