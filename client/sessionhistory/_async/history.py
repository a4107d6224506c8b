"""The client's methods for the history that a model reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory._codec.enums import UNANSWERED_CALLS
from sessionhistory._codec.fields import build
from sessionhistory._codec.history import decode_history
from sessionhistory._codec.ids import checked_user_id
from sessionhistory._codec.message import encode_message
from sessionhistory._codec.results import compact_history_result
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from sessionhistory._async.transport import AsyncTransport
    from sessionhistory.types import CompactHistoryResult, History, Message, UnansweredCalls


class AsyncHistories:
    """The methods that read the history for a model, and shorten it by summaries."""

    _transport: AsyncTransport

    async def get_history(  # noqa: PLR0913 - of the contract
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        max_messages: int | None = None,
        token_budget: int | None = None,
        before_sequence: int | None = None,
        include_pinned: bool | None = None,
        max_turns: int | None = None,
        step_tokens: int | None = None,
        step_messages: int | None = None,
        unanswered_calls: UnansweredCalls | None = None,
        whole_responses: bool | None = None,
        timeout_seconds: float | None = None,
    ) -> History:
        """Return the context for the next model call: the newest messages that fit the limits.

        In place of a limit or an option that is ``None`` counts the session's, else the server's.

        Args:
            session_id: The session.
            user_id: The user that the call acts for.
            max_messages: At most this many, 0 to 1,000, pinned ones included. The server's default: 20.
            token_budget: At most this many tokens, 0 or more. The server's default: no limit.
            before_sequence: Only messages before this one; ``None``: all.
            include_pinned: Whether to include pinned messages; ``None``: include them.
            max_turns: At most this many turns of the newest messages, each whole; ``None``: the oldest turn
                may be cut.
            step_tokens: If ``token_budget`` cuts, begin at a multiple of this many tokens, 0 or more, so that
                successive histories begin with the same messages. 0, the server's default: begin at the
                oldest message that fits.
            step_messages: If ``max_messages`` cuts, begin at a sequence that is a multiple of this, 0 or
                more. 0, the server's default: begin at the oldest message that fits.
            unanswered_calls: Whether a message stays if one of its tool calls has no result in the history.
                The server's default: ``KEEP``.
            whole_responses: Whether the history never begins inside a row of ``ASSISTANT`` messages. The
                server's default: ``False``.
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
            step_tokens=step_tokens,
            step_messages=step_messages,
            unanswered_calls=UNANSWERED_CALLS.encode_optional(unanswered_calls, "unanswered_calls"),
            whole_responses=whole_responses,
        )
        response = await self._transport.call("GetHistory", request, timeout_seconds=timeout_seconds)
        return decode_history(response.history)

    async def compact_history(
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
        response = await self._transport.call("CompactHistory", request, timeout_seconds=timeout_seconds)
        return compact_history_result(response)
