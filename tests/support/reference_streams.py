"""The reference model's streamed messages."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support import reference_rules as rules
from support.reference_edits import remove_after, require_changeable
from support.reference_rules import Refused, require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.reference_kept import Kept

INTERRUPTED = mpb.MESSAGE_STATUS_INTERRUPTED


class Streams:
    """The method that takes a stream; a part of ``Reference``."""

    sessions: dict[str, Kept]
    _is_visible: Any
    _append: Any

    def _AppendMessageStream(
        self, pieces: Sequence[stream_pb.AppendMessageStreamRequest]
    ) -> stream_pb.AppendMessageStreamResponse:
        """Return the response; a stream that is refused may still store its beginning."""
        header = pieces[0].header
        drops = header.on_break == stream_pb.ON_BREAK_DROP
        request = _as_append(header)
        rules.check("AppendMessage", request)
        self._judge(request)
        message = request.message
        for piece in pieces[1:]:
            if piece.HasField("finish"):
                message.finish_reason = piece.finish.finish_reason or message.finish_reason
                return self._finish(request)
            if "\0" in piece.delta.text:
                self._break(request, drops=drops)
                raise Refused("INVALID_ARGUMENT", "INVALID_FIELD")
            message.content += piece.delta.text
        require(message.content and not drops, "INVALID_ARGUMENT", "INVALID_FIELD")
        message.status = INTERRUPTED
        return self._stream_response(request)

    def _judge(self, request: pb.AppendMessageRequest) -> None:
        """Refuse a header if its append would be refused now."""
        kept = self.sessions.get(request.session_id)
        if kept is None:
            require(request.HasField("new_session"), "NOT_FOUND", "SESSION_NOT_FOUND")
            require(request.expected_last_sequence == 0, "ABORTED", "SEQUENCE_MISMATCH")
            return
        there = self._is_visible(request.session_id, request.user_id)
        require(there, "NOT_FOUND", "SESSION_NOT_FOUND")
        if request.message.message_id not in kept.sent:
            require_changeable(kept, request, None)

    def _finish(self, request: pb.AppendMessageRequest) -> stream_pb.AppendMessageStreamResponse:
        """Store the whole message; it replaces a stored beginning of the same message."""
        kept, message = self.sessions.get(request.session_id), request.message
        begun = kept.sent.get(message.message_id) if kept else None
        if kept and begun and begun.status == INTERRUPTED and begun != rules.as_sent(message):
            (place,) = (m.sequence for m in kept.messages if m.message_id == message.message_id)
            expects = request.HasField("expected_last_sequence")
            if not expects or request.expected_last_sequence == place - 1:
                active = kept.shown.status == spb.SESSION_STATUS_ACTIVE
                require(active, "FAILED_PRECONDITION", "SESSION_NOT_ACTIVE")
                require(place == kept.shown.last_sequence, "ALREADY_EXISTS", "MESSAGE_ID_REUSED")
                remove_after(kept, place - 1)
                request.ClearField("expected_last_sequence")
        return self._stream_response(request)

    def _break(self, request: pb.AppendMessageRequest, *, drops: bool) -> None:
        request.message.status = INTERRUPTED
        if request.message.content and not drops:
            with suppress(Refused):  # the caller is told which rule its piece broke
                self._append(request, [request.message])

    def _stream_response(self, request: pb.AppendMessageRequest) -> stream_pb.AppendMessageStreamResponse:
        kept, (message,), created = self._append(request, [request.message])
        fields = ("session_id", "last_sequence", "message_count", "total_tokens")
        counters = {name: getattr(kept.shown, name) for name in fields}
        return stream_pb.AppendMessageStreamResponse(message=message, session_created=created, **counters)


def _as_append(header: stream_pb.AppendMessageStreamHeader) -> pb.AppendMessageRequest:
    """Return the append that stores a message with this beginning."""
    request = pb.AppendMessageRequest(
        session_id=header.session_id, user_id=header.user_id, message=header.message
    )
    if header.HasField("new_session"):
        request.new_session.CopyFrom(header.new_session)
    if header.HasField("expected_last_sequence"):
        request.expected_last_sequence = header.expected_last_sequence
    request.message.role = header.message.role or mpb.ROLE_ASSISTANT
    return request
