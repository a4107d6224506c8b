"""The reference model's removal, copying and recognition of stored messages."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support import reference_rules as rules
from support.reference_rules import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from sessionhistory.v1 import message_pb2 as mpb
    from support.reference_kept import Kept


class Edits:
    """The methods that remove or copy messages; a part of ``Reference``."""

    sessions: dict[str, Kept]
    _found: Any
    _is_visible: Any
    _made_id: Any
    _new_session: Any
    _set_status: Any
    _touch: Any
    _now: Timestamp

    def _TruncateMessages(self, request: pb.TruncateMessagesRequest) -> pb.TruncateMessagesResponse:
        kept = self._found(request)
        require_changeable(kept, request, request.keep_through_sequence)
        counters = {"removed_message_count": remove_after(kept, request.keep_through_sequence)}
        for name in ("last_sequence", "message_count", "total_tokens"):
            counters[name] = getattr(kept.shown, name)
        return pb.TruncateMessagesResponse(**counters)

    def _ForkSession(self, request: pb.ForkSessionRequest) -> pb.ForkSessionResponse:
        kept = self._found(request)
        upto = request.through_sequence if request.HasField("through_sequence") else kept.shown.last_sequence
        existing = self.sessions.get(request.new_session_id)
        reached = upto <= kept.shown.last_sequence
        require(reached, "ABORTED", "SEQUENCE_MISMATCH")
        if existing is not None:
            require(
                request.allow_existing and self._is_child(request, existing),
                "ALREADY_EXISTS",
                "SESSION_EXISTS",
            )
            same = not request.HasField("through_sequence") or existing.shown.parent.through_sequence == upto
            require(same, "ALREADY_EXISTS", "SESSION_EXISTS")
            return pb.ForkSessionResponse(session=existing.shown)
        copy = self._copy(kept, request, upto, upto, forgets=())
        return pb.ForkSessionResponse(session=copy.shown, created=True)

    def _ResetSession(self, request: pb.ResetSessionRequest) -> pb.ResetSessionResponse:
        kept = self._found(request)
        existing, last = self.sessions.get(request.new_session_id), kept.shown.last_sequence
        if kept.shown.status != spb.SESSION_STATUS_ACTIVE:
            again = existing is not None and self._is_child(request, existing)
            require(again, "FAILED_PRECONDITION", "SESSION_NOT_ACTIVE")
            return pb.ResetSessionResponse(session=existing.shown, previous_session=kept.shown)
        require(existing is None, "ALREADY_EXISTS", "SESSION_EXISTS")
        self._set_status(kept.shown, request.previous_status or spb.SESSION_STATUS_COMPLETED)
        self._touch(kept.shown)
        keeps = {"title": request.keep_messages, "state": request.keep_state}
        forgets = [name for name, kept_too in keeps.items() if not kept_too]
        copy = self._copy(kept, request, last if request.keep_messages else 0, last, forgets=forgets)
        return pb.ResetSessionResponse(session=copy.shown, previous_session=kept.shown)

    def _is_child(self, request: Any, existing: Kept) -> bool:
        user_id = request.user_id or request.new_user_id
        visible = self._is_visible(existing.shown.session_id, user_id)
        return visible and existing.shown.parent.session_id == request.session_id

    def _copy(
        self, kept: Kept, request: Any, upto: int, parent_sequence: int, *, forgets: Sequence[str]
    ) -> Kept:
        """Create a session with the messages up to a sequence; copy the fields that the request omits."""
        new, given = request.new_session, spb.SessionFields()
        given.CopyFrom(new)
        given.status = new.status or spb.SESSION_STATUS_ACTIVE
        for name in ("application_id", "title", "model", "labels", "metadata", "state"):
            if not getattr(new, name) and name not in forgets:
                rules.copy_field(kept.shown, given, name)
        given.history_settings.CopyFrom(kept.shown.history_settings)
        given.history_settings.MergeFrom(new.history_settings)
        owner = request.new_user_id or kept.shown.user_id
        copy: Kept = self._new_session(request.new_session_id or self._made_id(), owner, given)
        if not new.WhichOneof("expiration") and kept.shown.HasField("expire_time"):
            copy.shown.expire_time.CopyFrom(kept.shown.expire_time)
            copy.shown.purge_time.CopyFrom(kept.shown.purge_time)
        copy.titled = bool(new.title) or (kept.titled and "title" not in forgets)
        copy.shown.parent.session_id = kept.shown.session_id
        copy.shown.parent.through_sequence = parent_sequence
        for message in kept.messages:
            if message.sequence <= upto:
                copy.messages.append(deepcopy(message))
                copy.sent[message.message_id] = kept.sent[message.message_id]
                copy.shown.message_count += 1
                copy.shown.total_tokens += message.token_count
                copy.shown.last_sequence = message.sequence
                copy.shown.last_activity_time.CopyFrom(self._now)
        if copy.messages:
            copy.shown.token_counter = kept.shown.token_counter
        copy.summaries = [deepcopy(s) for s in kept.summaries if s.covers.through_sequence <= upto]
        copy.shown.compacted_through_sequence = newest_place(copy)
        return copy


def replaced_after(request: pb.AppendMessageRequest | pb.AppendMessagesRequest) -> int | None:
    """Return the sequence that an append is to follow, if it names one."""
    if isinstance(request, pb.AppendMessagesRequest) and request.HasField("keep_through_sequence"):
        return request.keep_through_sequence
    return None


def require_changeable(kept: Kept, request: Any, after: int | None) -> None:
    """Refuse a change of messages if the session's state does not allow it."""
    shown = kept.shown
    active = shown.status == spb.SESSION_STATUS_ACTIVE
    require(active, "FAILED_PRECONDITION", "SESSION_NOT_ACTIVE")
    expects = request.HasField("expected_last_sequence")
    as_expected = not expects or request.expected_last_sequence == shown.last_sequence
    reached = after is None or after <= shown.last_sequence
    require(as_expected and reached, "ABORTED", "SEQUENCE_MISMATCH")


def remove_after(kept: Kept, sequence: int) -> int:
    """Remove the messages after a sequence; return how many were removed."""
    removed = [message for message in kept.messages if message.sequence > sequence]
    for message in removed:
        kept.messages.remove(message)
        del kept.sent[message.message_id]
        kept.shown.message_count -= 1
        kept.shown.total_tokens -= message.token_count
    kept.summaries = [summary for summary in kept.summaries if summary.covers.through_sequence <= sequence]
    kept.shown.compacted_through_sequence = newest_place(kept)
    return len(removed)


def newest_place(kept: Kept) -> int:
    """Return the sequence up to which the session's summaries reach."""
    return max((summary.covers.through_sequence for summary in kept.summaries), default=0)


def find_stored(kept: Kept, messages: Sequence[mpb.Message]) -> list[mpb.Message]:
    """Return the messages if all of them are stored, consecutive and in order; None if none is stored."""
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
    """Return the messages if they are the first ones stored after a sequence; else None."""
    before = {message.message_id for message in kept.messages if message.sequence <= after}
    taken = any(message.message_id in before for message in messages)
    require(not taken, "ALREADY_EXISTS", "MESSAGE_ID_REUSED")
    follows = [message for message in kept.messages if message.sequence > after][: len(messages)]
    same = [kept.sent[message.message_id] for message in follows] == [rules.as_sent(m) for m in messages]
    in_a_row = same and follows[-1].sequence - follows[0].sequence == len(messages) - 1
    return follows if in_a_row else []
