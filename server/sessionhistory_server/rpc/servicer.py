"""The RPCs. A handler checks its request, translates it, calls one use case, and translates the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server import limits
from sessionhistory_server.errors import NotFoundError
from sessionhistory_server.rpc import appends, convert, masks, messages, validate
from sessionhistory_server.rpc.base import Servicer
from sessionhistory_server.rpc.checks import Checks
from sessionhistory_server.store.messages import MessageFilter
from sessionhistory_server.store.session_list import SessionFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionhistory_server.history import SessionHistory
    from sessionhistory_server.metrics import Metrics
    from sessionhistory_server.model import Appended, Window

_SESSION_TIMES = ("create_time_after", "create_time_before", "active_after", "active_before")
_MESSAGE_TIMES = ("create_time_after", "create_time_before")


class HistoryServicer(Servicer):
    """Sessions, messages and windows."""

    def __init__(self, history: SessionHistory, metrics: Metrics, *, require_user_id: bool) -> None:
        super().__init__(require_user_id=require_user_id)
        self._history = history
        self._metrics = metrics

    async def CreateSession(self, request: pb.CreateSessionRequest) -> pb.CreateSessionResponse:
        """Create a session."""
        checks = Checks()
        checks.identifier("session_id", request.session_id)
        self._check_session(checks, "session", request.session)
        same = request.session.session_id in ("", request.session_id) or not request.session_id
        checks.require(same, "session.session_id", "must be empty or the same as session_id")
        checks.finish()
        session, created = await self._history.create_session(
            request.session_id or request.session.session_id,
            convert.session_content(request.session, request.session.user_id or None),
            allow_existing=request.allow_existing,
        )
        return pb.CreateSessionResponse(session=convert.session_message(session), created=created)

    async def GetSession(self, request: pb.GetSessionRequest) -> pb.GetSessionResponse:
        """Return one session."""
        self.checked(request).finish()
        session = await self._history.get_session(request.session_id, request.user_id or None)
        return pb.GetSessionResponse(session=convert.session_message(session))

    async def UpdateSession(self, request: pb.UpdateSessionRequest) -> pb.UpdateSessionResponse:
        """Change the fields that the mask names."""
        checks = Checks()
        checks.identifier("session.session_id", request.session.session_id, required=True)
        user_id = request.user_id or request.session.user_id
        checks.user_id("user_id", request.user_id, required=self.require_user_id and not user_id)
        same = request.session.user_id in ("", user_id)
        checks.require(same, "session.user_id", "must be empty or the same as user_id")
        validate.check_session(checks, "session", request.session, require_user_id=False)
        masks.check(checks, request)
        checks.finish()
        session = await self._history.update_session(
            request.session.session_id,
            user_id or None,
            masks.changes(request),
            etag=request.session.etag or None,
        )
        return pb.UpdateSessionResponse(session=convert.session_message(session))

    async def ListSessions(self, request: pb.ListSessionsRequest) -> pb.ListSessionsResponse:
        """Return a page of sessions."""
        checks = Checks()
        checks.user_id("user_id", request.user_id, required=self.require_user_id)
        checks.all_known("statuses", request.statuses, spb.SessionStatus)
        validate.check_labels(checks, "labels", request.labels)
        checks.text("title_contains", request.title_contains, limits.MAX_TITLE_FILTER_CHARACTERS)
        validate.check_times(checks, request, _SESSION_TIMES)
        checks.known("order_by", request.order_by, pb.SessionOrder)
        checks.not_negative("page_size", request.page_size)
        checks.finish()
        found, next_page_token = await self._history.list_sessions(
            _session_filter(request),
            page_size=_page_size(request.page_size),
            page_token=request.page_token,
        )
        return pb.ListSessionsResponse(
            sessions=map(convert.session_message, found), next_page_token=next_page_token
        )

    async def DeleteSession(self, request: pb.DeleteSessionRequest) -> pb.DeleteSessionResponse:
        """Delete a session."""
        self.checked(request).finish()
        try:
            session = await self._history.delete_session(
                request.session_id, request.user_id or None, purge=request.purge
            )
        except NotFoundError:
            if request.allow_missing:
                return pb.DeleteSessionResponse()
            raise
        return pb.DeleteSessionResponse(session=convert.session_message(session))

    async def UndeleteSession(self, request: pb.UndeleteSessionRequest) -> pb.UndeleteSessionResponse:
        """Restore a deleted session."""
        self.checked(request).finish()
        session = await self._history.undelete_session(request.session_id, request.user_id or None)
        return pb.UndeleteSessionResponse(session=convert.session_message(session))

    async def AppendMessage(self, request: pb.AppendMessageRequest) -> pb.AppendMessageResponse:
        """Store one message."""
        response = pb.AppendMessageResponse()
        await self.append_message(request, response)
        return response

    async def append_message(
        self, request: pb.AppendMessageRequest, response: pb.AppendMessageResponse
    ) -> None:
        """Store one message, and fill in the response in its place."""
        checks = appends.checked(request, require_user_id=self.require_user_id)
        checks.require(request.HasField("message"), "message", "is required")
        if request.HasField("message"):
            validate.check_message(checks, "message", request.message)
        checks.finish()
        session_id, appended, window = await self._append(request, [request.message])
        response.session_id = session_id
        response.last_sequence, response.message_count, response.total_tokens = appended.counters
        response.session_created = appended.session_created
        if appended.state_version is not None:
            response.state_version = appended.state_version
        messages.show(appended.messages[0], response.message)
        if window is not None:
            self._show(window, response.history)

    async def AppendMessages(self, request: pb.AppendMessagesRequest) -> pb.AppendMessagesResponse:
        """Store a batch of messages."""
        checks = appends.checked(request, require_user_id=self.require_user_id)
        validate.check_batch(checks, "messages", request.messages)
        checks.finish()
        session_id, appended, _ = await self._append(request, request.messages)
        return pb.AppendMessagesResponse(
            session_id=session_id,
            messages=map(messages.message, appended.messages),
            **appended.counters._asdict(),
            session_created=appended.session_created,
            state_version=appended.state_version,
        )

    async def GetMessage(self, request: pb.GetMessageRequest) -> pb.GetMessageResponse:
        """Return one message."""
        checks = self.checked(request)
        match request.WhichOneof("key"):
            case "message_id":
                checks.identifier("message_id", request.message_id, required=True)
            case "sequence":
                checks.require(request.sequence > 0, "sequence", "must be 1 or more")
            case _:
                checks.require(None, "key", "must set one of message_id, sequence")
        checks.finish()
        message = await self._history.get_message(
            request.session_id,
            request.user_id or None,
            message_id=request.message_id if request.HasField("message_id") else None,
            sequence=request.sequence if request.HasField("sequence") else None,
        )
        return pb.GetMessageResponse(message=messages.message(message))

    async def GetHistory(self, request: pb.GetHistoryRequest) -> pb.GetHistoryResponse:
        """Return the context window."""
        response = pb.GetHistoryResponse()
        await self.get_history(request, response)
        return response

    async def get_history(self, request: pb.GetHistoryRequest, response: pb.GetHistoryResponse) -> None:
        """Fill in the response with the context window, in its place."""
        checks = self.checked(request)
        checks.not_negative("max_messages", request.max_messages)
        checks.not_negative("token_budget", request.token_budget)
        checks.not_negative("before_sequence", request.before_sequence)
        checks.not_negative("max_turns", request.max_turns)
        checks.finish()
        wanted = convert.window_limits(request, convert.optional(request, "before_sequence"))
        window = await self._history.get_history(request.session_id, request.user_id or None, wanted)
        self._show(window, response.history)

    async def ListMessages(self, request: pb.ListMessagesRequest) -> pb.ListMessagesResponse:
        """Return a page of messages."""
        checks = self.checked(request)
        checks.not_negative("after_sequence", request.after_sequence)
        checks.not_negative("before_sequence", request.before_sequence)
        checks.all_known("roles", request.roles, mpb.Role)
        validate.check_times(checks, request, _MESSAGE_TIMES)
        checks.not_negative("page_size", request.page_size)
        checks.finish()
        found, next_page_token = await self._history.list_messages(
            request.session_id,
            request.user_id or None,
            _message_filter(request),
            page_size=_page_size(request.page_size),
            page_token=request.page_token,
        )
        return pb.ListMessagesResponse(messages=map(messages.message, found), next_page_token=next_page_token)

    def _check_session(self, checks: Checks, field: str, session: spb.Session) -> None:
        validate.check_session(checks, field, session, require_user_id=self.require_user_id)

    async def _append(
        self,
        request: pb.AppendMessageRequest | pb.AppendMessagesRequest,
        new: Sequence[mpb.Message],
    ) -> tuple[str, Appended, Window | None]:
        outcome = await self._history.append(appends.translated(request, new))
        self._metrics.count_appended(len(new))
        return outcome

    def _show(self, window: Window, shown: hpb.History) -> None:
        self._metrics.count_window(window.cut)
        messages.show_window(window, shown)


def _page_size(page_size: int) -> int:
    return min(page_size or limits.DEFAULT_PAGE_SIZE, limits.MAX_PAGE_SIZE)


def _session_filter(request: pb.ListSessionsRequest) -> SessionFilter:
    return SessionFilter(
        user_id=request.user_id or None,
        statuses=convert.statuses(request.statuses),
        labels=dict(sorted(request.labels.items())),
        title_contains=request.title_contains or None,
        create_time_after=convert.after(request, "create_time_after"),
        create_time_before=convert.before(request, "create_time_before"),
        active_after=convert.after(request, "active_after"),
        active_before=convert.before(request, "active_before"),
        show_deleted=request.show_deleted,
        by_creation=request.order_by == pb.SESSION_ORDER_CREATION,
    )


def _message_filter(request: pb.ListMessagesRequest) -> MessageFilter:
    return MessageFilter(
        after_sequence=request.after_sequence,
        before_sequence=convert.optional(request, "before_sequence"),
        roles=messages.roles(request.roles),
        create_time_after=convert.after(request, "create_time_after"),
        create_time_before=convert.before(request, "create_time_before"),
        descending=request.descending,
    )
