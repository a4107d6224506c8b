"""The RPCs of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.model.caller import READ, WRITE
from sessionhistory_server.observability import trail
from sessionhistory_server.rpc.convert import filters
from sessionhistory_server.rpc.convert.append import requested_append, show_append, show_append_batch
from sessionhistory_server.rpc.convert.fields import optional
from sessionhistory_server.rpc.convert.message import show_message
from sessionhistory_server.rpc.dispatch import rpc
from sessionhistory_server.rpc.validation import message as rules

if TYPE_CHECKING:
    from sessionhistory.v1 import session_history_service_pb2 as pb
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.observability.counters import Metrics
    from sessionhistory_server.usecases.messages import Messages


def _replacement(request: pb.AppendMessagesRequest) -> str:
    return trail.TRUNCATION if request.HasField("keep_through_sequence") else ""


class MessagesServicer:
    """The servicer of the RPCs that append, get, list and truncate messages."""

    def __init__(self, messages: Messages, metrics: Metrics) -> None:
        self._messages = messages
        self._metrics = metrics

    @rpc(WRITE, rules.check_append)
    async def AppendMessage(
        self, caller: Caller, request: pb.AppendMessageRequest, response: pb.AppendMessageResponse
    ) -> None:
        """Store one message."""
        outcome = await self._messages.append(caller, requested_append(request, [request.message]))
        self._metrics.count_appended(1)
        if outcome.window is not None:
            self._metrics.count_window(outcome.window.cut)
        show_append(outcome, response)

    @rpc(WRITE, rules.check_append_batch, act=_replacement)
    async def AppendMessages(
        self, caller: Caller, request: pb.AppendMessagesRequest, response: pb.AppendMessagesResponse
    ) -> None:
        """Store a batch of messages."""
        outcome = await self._messages.append(caller, requested_append(request, request.messages))
        self._metrics.count_appended(len(request.messages))
        show_append_batch(outcome, response)

    @rpc(READ, rules.check_get)
    async def GetMessage(
        self, caller: Caller, request: pb.GetMessageRequest, response: pb.GetMessageResponse
    ) -> None:
        """Return one message."""
        message = await self._messages.get(
            caller,
            request.session_id,
            message_id=optional(request, "message_id"),
            sequence=optional(request, "sequence"),
        )
        show_message(message, response.message)

    @rpc(READ, rules.check_list, is_large=True)
    async def ListMessages(
        self, caller: Caller, request: pb.ListMessagesRequest, response: pb.ListMessagesResponse
    ) -> None:
        """Return a page of messages."""
        found, response.next_page_token = await self._messages.find(
            caller,
            request.session_id,
            filters.message_filter(request),
            page_size=filters.page_size(request.page_size),
            page_token=request.page_token,
        )
        for message in found:
            show_message(message, response.messages.add())

    @rpc(WRITE, rules.check_truncate, act=lambda _: trail.TRUNCATION)
    async def TruncateMessages(
        self, caller: Caller, request: pb.TruncateMessagesRequest, response: pb.TruncateMessagesResponse
    ) -> None:
        """Remove the messages after a sequence."""
        truncated = await self._messages.truncate(
            caller,
            request.session_id,
            request.keep_through_sequence,
            expected_last_sequence=optional(request, "expected_last_sequence"),
        )
        response.removed_message_count = truncated.removed_message_count
        response.last_sequence, response.message_count, response.total_tokens = truncated.counters
