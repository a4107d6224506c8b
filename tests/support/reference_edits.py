"""How the reference model removes messages, and finds those that are stored already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support import reference_rules as rules
from support.reference_rules import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionhistory.v1 import message_pb2 as mpb
    from support.reference import Kept


class Edits:
    """The methods that change what a session has become; a part of ``Reference``."""

    _found: Any

    def _TruncateHistory(self, request: pb.TruncateHistoryRequest) -> pb.TruncateHistoryResponse:  # noqa: N802
        kept = self._found(request)
        require_changeable(kept, request, request.after_sequence)
        counters = {"removed_message_count": remove_after(kept, request.after_sequence)}
        for name in ("last_sequence", "message_count", "total_tokens"):
            counters[name] = getattr(kept.shown, name)
        return pb.TruncateHistoryResponse(**counters)


def replaced_after(request: pb.AppendMessageRequest | pb.AppendMessagesRequest) -> int | None:
    """Return the sequence that an append is to follow, if it names one."""
    if isinstance(request, pb.AppendMessagesRequest) and request.HasField("replace_after_sequence"):
        return request.replace_after_sequence
    return None


def require_changeable(kept: Kept, request: Any, after: int | None) -> None:  # noqa: ANN401 - of several types
    """Refuse a change of messages that the session is not in a state for."""
    shown = kept.shown
    active = shown.status == spb.SESSION_STATUS_ACTIVE
    require(active, "FAILED_PRECONDITION", "SESSION_NOT_ACTIVE")
    expects = request.HasField("expected_last_sequence")
    as_expected = not expects or request.expected_last_sequence == shown.last_sequence
    reached = after is None or after <= shown.last_sequence
    require(as_expected and reached, "ABORTED", "SEQUENCE_MISMATCH")


def remove_after(kept: Kept, sequence: int) -> int:
    """Remove the messages after a sequence; return how many there were."""
    removed = [message for message in kept.messages if message.sequence > sequence]
    for message in removed:
        kept.messages.remove(message)
        del kept.sent[message.message_id]
        kept.shown.message_count -= 1
        kept.shown.total_tokens -= message.token_count
    return len(removed)


def find_stored(kept: Kept, messages: Sequence[mpb.Message]) -> list[mpb.Message]:
    """Return the messages if they are stored as a whole, in order and in a row; nothing if none is."""
    if not any(message.message_id in kept.sent for message in messages):
        return []
    same = [rules.as_sent(message) == kept.sent.get(message.message_id) for message in messages]
    require(all(same), "ALREADY_EXISTS", "MESSAGE_ID_REUSED")
    by_id = {message.message_id: message for message in kept.messages}
    stored = [by_id[message.message_id] for message in messages]
    places = [message.sequence for message in stored]
    in_a_row = places == list(range(places[0], places[0] + len(places)))
    require(in_a_row, "ALREADY_EXISTS", "MESSAGE_ID_REUSED")
    return stored


def find_replacing(kept: Kept, messages: Sequence[mpb.Message], after: int) -> list[mpb.Message]:
    """Return the messages if they are the first that are stored after a sequence; nothing if they are not."""
    before = {message.message_id for message in kept.messages if message.sequence <= after}
    taken = any(message.message_id in before for message in messages)
    require(not taken, "ALREADY_EXISTS", "MESSAGE_ID_REUSED")
    follows = [message for message in kept.messages if message.sequence > after][: len(messages)]
    same = [kept.sent[message.message_id] for message in follows] == [rules.as_sent(m) for m in messages]
    in_a_row = same and follows[-1].sequence - follows[0].sequence == len(messages) - 1
    return follows if in_a_row else []
