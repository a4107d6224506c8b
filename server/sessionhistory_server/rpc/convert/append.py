"""Convert appends: the requests of three RPCs, and their outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1.append_message_stream_pb2 import (
    AppendMessageStreamHeader,
    AppendMessageStreamResponse,
)
from sessionhistory_server.model.append import Append
from sessionhistory_server.model.session import StateChange
from sessionhistory_server.rpc.convert import message as messages
from sessionhistory_server.rpc.convert import session, window
from sessionhistory_server.rpc.convert.fields import optional

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessionhistory.v1 import message_pb2 as mpb
    from sessionhistory_server.model.append import AppendOutcome


def requested_append(
    request: pb.AppendMessageRequest | pb.AppendMessagesRequest | AppendMessageStreamHeader,
    new: Iterable[mpb.Message],
) -> Append:
    """Return the append of the messages ``new``, with the other fields of the request."""
    history = keep_through_sequence = None
    if isinstance(request, pb.AppendMessagesRequest):
        keep_through_sequence = optional(request, "keep_through_sequence")
    elif request.HasField("history"):
        history = window.window_limits(request.history)
    return Append(
        session_id=request.session_id,
        messages=[messages.sent_message(message) for message in new],
        new_session=session.session_content(request.new_session) if request.HasField("new_session") else None,
        expected_last_sequence=optional(request, "expected_last_sequence"),
        keep_through_sequence=keep_through_sequence,
        history=history,
        state=None if isinstance(request, AppendMessageStreamHeader) else _state_change(request),
    )


def _state_change(request: pb.AppendMessageRequest | pb.AppendMessagesRequest) -> StateChange | None:
    """Return the change of the state and the expected version; ``None`` if neither is set."""
    if not request.state_patch and not request.HasField("expected_state_version"):
        return None
    return StateChange(request.state_patch or None, optional(request, "expected_state_version"))


def show_append(
    outcome: AppendOutcome, response: pb.AppendMessageResponse | AppendMessageStreamResponse
) -> None:
    """Fill in the response to an append of one message."""
    _show_session(outcome, response)
    messages.show_message(outcome.appended.messages[0], response.message)
    if outcome.window is not None:
        window.show_window(outcome.window, response.history)


def show_append_batch(outcome: AppendOutcome, response: pb.AppendMessagesResponse) -> None:
    """Fill in the response to an append of a batch."""
    _show_session(outcome, response)
    for message in outcome.appended.messages:
        messages.show_message(message, response.messages.add())


def _show_session(
    outcome: AppendOutcome,
    response: pb.AppendMessageResponse | pb.AppendMessagesResponse | AppendMessageStreamResponse,
) -> None:
    """Fill in the facts about the session that the responses to all appends have."""
    response.session_id, appended, _ = outcome
    response.last_sequence, response.message_count, response.total_tokens = appended.counters
    response.session_created = appended.session_created
    # A stream cannot change the state.
    if appended.state_version is not None and not isinstance(response, AppendMessageStreamResponse):
        response.state_version = appended.state_version
