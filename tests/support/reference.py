"""The whole contract in memory, over dicts and lists: slow, short and plainly correct.

It takes the contract's requests and returns its responses or raises ``Refused``. It shares no code with the
server except the messages. It uses no clock: its times are ticks, one for each call (see ``tick``). An etag
is any text that changes when the contract says that the etag changes.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support import reference_rules as rules
from support.reference_compaction import Compactions
from support.reference_defaults import Defaults
from support.reference_edits import (
    Edits,
    find_replacing,
    find_stored,
    remove_after,
    replaced_after,
    require_changeable,
)
from support.reference_kept import Kept
from support.reference_rules import Refused, require, title_of
from support.reference_sessions import Sessions
from support.reference_state import States, require_version
from support.reference_streams import Streams
from support.reference_tokens import Recounts, count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionhistory.v1 import history_pb2 as hpb
    from support.reference_window import Limits

PINNED_CAP = 64


class Reference(Sessions, Edits, Recounts, States, Streams, Compactions):
    """The service. ``made_ids`` are the ids that it uses where the server makes an id.

    The arguments are the server's limits and options of windows, by their names in ``HistorySettings``.
    """

    def __init__(
        self,
        *,
        max_messages: int = 20,
        token_budget: int | None = None,
        model_token_budgets: dict[str, int] | None = None,
        model_step_tokens: dict[str, int] | None = None,
        **options: Any,
    ) -> None:
        self._defaults = Defaults(
            {"max_messages": max_messages, "token_budget": token_budget} | options,
            {"token_budget": model_token_budgets or {}, "step_tokens": model_step_tokens or {}},
        )
        self._numbers = itertools.count(1)
        self._now = rules.tick(0)
        self.sessions: dict[str, Kept] = {}
        self.made_ids: list[str] = []

    def call(self, method: str, request: Any) -> Any:
        """Answer a request.

        Raises:
            Refused: the request is refused.
        """
        if method != "AppendMessageStream":  # whose pieces are checked one by one
            rules.check(method, request)
        self._now = rules.tick(next(self._numbers))
        return getattr(self, f"_{method}")(request)

    def _AppendMessage(self, request: pb.AppendMessageRequest) -> pb.AppendMessageResponse:
        kept, stored, created = self._append(request, [request.message])
        response = pb.AppendMessageResponse(
            message=stored[0], **self._counters(kept, request, created=created)
        )
        if request.HasField("history"):
            response.history.CopyFrom(kept.window(self.limits(kept, request.history)))
        return response

    def _AppendMessages(self, request: pb.AppendMessagesRequest) -> pb.AppendMessagesResponse:
        kept, stored, created = self._append(request, request.messages)
        return pb.AppendMessagesResponse(messages=stored, **self._counters(kept, request, created=created))

    def _GetMessage(self, request: pb.GetMessageRequest) -> pb.GetMessageResponse:
        kept, key = self._found(request), request.WhichOneof("key")
        for message in kept.messages:
            if getattr(message, key) == getattr(request, key):
                return pb.GetMessageResponse(message=message)
        raise Refused("NOT_FOUND", "MESSAGE_NOT_FOUND")

    def _GetHistory(self, request: pb.GetHistoryRequest) -> pb.GetHistoryResponse:
        kept = self._found(request)
        return pb.GetHistoryResponse(history=kept.window(self.limits(kept, request)))

    def _ListMessages(self, request: pb.ListMessagesRequest) -> pb.ListMessagesResponse:
        sign = -1 if request.order_by == pb.MESSAGE_ORDER_SEQUENCE_DESC else 1
        wanted = [m for m in self._found(request).messages if rules.is_wanted_message(request, m)]
        wanted = wanted[::sign]
        page, token = rules.page(request, [sign * message.sequence for message in wanted])
        return pb.ListMessagesResponse(messages=[wanted[i] for i in page], next_page_token=token)

    def _append(
        self, request: pb.AppendMessageRequest | pb.AppendMessagesRequest, messages: Sequence[mpb.Message]
    ) -> tuple[Kept, list[mpb.Message], bool]:
        """Find or create the session, and store the messages unless they are stored already."""
        name, user_id = request.session_id, request.user_id
        holder = self.sessions.get(name)
        # Until the session would be created, a stranger's session is as a missing one.
        taken = holder is not None and bool(user_id) and holder.shown.user_id != user_id
        new = holder is None or (taken and request.HasField("new_session"))
        require(not new or request.HasField("new_session"), "NOT_FOUND", "SESSION_NOT_FOUND")
        require(new or self._is_visible(name, user_id), "NOT_FOUND", "SESSION_NOT_FOUND")
        kept = Kept(spb.Session(status=spb.SESSION_STATUS_ACTIVE)) if new else self.sessions[name]
        after = replaced_after(request)
        stored = find_stored(kept, messages) if after is None else find_replacing(kept, messages, after)
        if stored:
            return kept, stored, False
        require_changeable(kept, request, after)
        left = kept.messages if after is None else [m for m in kept.messages if m.sequence <= after]
        pinned = sum(message.pinned for message in [*left, *messages])
        require(pinned <= PINNED_CAP, "FAILED_PRECONDITION", "TOO_MANY_PINNED")
        require_version(request, kept.shown.state_version)
        require(not taken, "NOT_FOUND", "SESSION_NOT_FOUND")
        if new:
            kept = self._new_session(name or self._made_id(), user_id, request.new_session)
        if after is not None:
            remove_after(kept, after)
        if request.state_patch:
            self._patch_state(kept, request.state_patch)
        return kept, [self._store(kept, message) for message in messages], new

    def _store(self, kept: Kept, sent: mpb.Message) -> mpb.Message:
        shown = kept.shown
        stored = rules.as_sent(sent)
        stored.message_id = sent.message_id or self._made_id()
        kept.sent[stored.message_id] = rules.as_sent(stored)
        stored.sequence = shown.last_sequence + 1
        stored.token_count = count(sent, shown.token_counter)
        stored.create_time.CopyFrom(self._now)
        kept.messages.append(stored)
        shown.message_count += 1
        shown.last_sequence += 1
        shown.total_tokens += stored.token_count
        shown.last_activity_time.CopyFrom(self._now)
        text = next(filter(str.strip, [sent.content, *(part.text for part in sent.parts)]), "")
        if sent.role == mpb.ROLE_USER and text and not kept.titled:
            kept.titled = True
            shown.title = title_of(text)
        return stored

    def limits(self, kept: Kept, asked: pb.GetHistoryRequest | hpb.HistoryOptions) -> Limits:
        """Return the limits and options of a window that a request asks for."""
        return self._defaults.settled(kept.shown, asked)

    def _counters(self, kept: Kept, request: Any, *, created: bool) -> dict[str, Any]:
        fields = ["session_id", "last_sequence", "message_count", "total_tokens"]
        if request.state_patch or request.HasField("expected_state_version"):
            fields.append("state_version")
        return {name: getattr(kept.shown, name) for name in fields} | {"session_created": created}

    def _is_visible(self, name: str, user_id: str, *, deleted_too: bool = False) -> bool:
        kept = self.sessions.get(name)
        mine = kept is not None and (not user_id or kept.shown.user_id == user_id)
        return mine and (deleted_too or self.sessions[name].live)

    def _found(self, request: Any) -> Kept:
        there = self._is_visible(request.session_id, request.user_id)
        require(there, "NOT_FOUND", "SESSION_NOT_FOUND")
        return self.sessions[request.session_id]

    def _made_id(self) -> str:
        return self.made_ids.pop(0) if self.made_ids else f"made-{next(self._numbers)}"
