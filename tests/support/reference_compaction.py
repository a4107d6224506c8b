"""CompactHistory over lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from support import reference_rules as rules
from support.reference_rules import require
from support.reference_tokens import count
from support.reference_window import Summary, covered

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from support.reference_kept import Kept


class Compactions:
    """The method that stores summaries; a part of ``Reference``."""

    made_ids: list[str]
    _now: Timestamp
    _found: Any
    _made_id: Any

    def _CompactHistory(self, request: pb.CompactHistoryRequest) -> pb.CompactHistoryResponse:
        kept = self._found(request)
        through = request.through_sequence
        there = any(message.sequence == through for message in kept.messages)
        messages = covered(kept.messages, through)
        require(there and messages, "NOT_FOUND", "MESSAGE_NOT_FOUND")
        for summary in kept.summaries:
            same = summary.covers.through_sequence == messages[-1].sequence
            if same and _as_sent(request.message, summary.sent.message_id) == summary.sent:
                self.made_ids.clear()
                return pb.CompactHistoryResponse(summary=summary.covers, message=summary.message)
        self._require_expected(request, kept)
        summary = self._summary(request.message, messages, kept.shown.token_counter)
        place = summary.covers.through_sequence
        kept.summaries = [s for s in kept.summaries if s.covers.through_sequence != place] + [summary]
        kept.shown.compacted_through_sequence = max(kept.shown.compacted_through_sequence, place)
        return pb.CompactHistoryResponse(summary=summary.covers, message=summary.message)

    def _require_expected(self, request: pb.CompactHistoryRequest, kept: Kept) -> None:
        last, through = kept.shown.last_sequence, kept.shown.compacted_through_sequence
        as_expected = not request.HasField("expected_last_sequence") or request.expected_last_sequence == last
        require(as_expected, "ABORTED", "SEQUENCE_MISMATCH")
        expects = request.HasField("expected_compacted_through_sequence")
        as_expected = not expects or request.expected_compacted_through_sequence == through
        require(as_expected, "ABORTED", "COMPACTION_MISMATCH")

    def _summary(self, sent: mpb.Message, messages: list[mpb.Message], counter: str) -> Summary:
        named = _as_sent(sent, "" if sent.message_id else self._made_id())
        message = _as_sent(named, "")
        message.sequence = messages[-1].sequence
        message.token_count = count(sent, counter)
        message.create_time.CopyFrom(self._now)
        covers = hpb.HistorySummary(
            through_sequence=message.sequence,
            message_count=len(messages),
            total_tokens=sum(m.token_count for m in messages),
            create_time=self._now,
        )
        return Summary(message, named, covers)


def _as_sent(message: mpb.Message, message_id: str) -> mpb.Message:
    sent = rules.as_sent(message)
    sent.role = sent.role or mpb.ROLE_SYSTEM
    sent.message_id = sent.message_id or message_id
    return sent
