"""Convert the filters and the page sizes of lists."""

from __future__ import annotations

from typing import Final

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server import limits
from sessionhistory_server.model.filters import MessageFilter, SessionFilter
from sessionhistory_server.rpc.convert.fields import optional
from sessionhistory_server.rpc.convert.message import roles
from sessionhistory_server.rpc.convert.session import statuses
from sessionhistory_server.rpc.convert.times import after, before

_BY_CREATION: Final = (pb.SESSION_ORDER_CREATE_TIME_DESC, pb.SESSION_ORDER_CREATE_TIME_ASC)
_ASCENDING: Final = (pb.SESSION_ORDER_LAST_ACTIVITY_TIME_ASC, pb.SESSION_ORDER_CREATE_TIME_ASC)


def session_filter(request: pb.ListSessionsRequest) -> SessionFilter:
    """Return the filter of a request that lists sessions. The use case adds the caller's user."""
    return SessionFilter(
        application_id=request.application_id or None,
        statuses=statuses(request.statuses),
        labels=dict(sorted(request.labels.items())),
        title_contains=request.title_contains or None,
        create_time_after=after(request, "create_time_after"),
        create_time_before=before(request, "create_time_before"),
        last_activity_time_after=after(request, "last_activity_time_after"),
        last_activity_time_before=before(request, "last_activity_time_before"),
        show_deleted=request.show_deleted,
        by_creation=request.order_by in _BY_CREATION,
        ascending=request.order_by in _ASCENDING,
    )


def message_filter(request: pb.ListMessagesRequest) -> MessageFilter:
    """Return the filter of a request that lists messages."""
    return MessageFilter(
        after_sequence=request.after_sequence,
        before_sequence=optional(request, "before_sequence"),
        roles=roles(request.roles),
        create_time_after=after(request, "create_time_after"),
        create_time_before=before(request, "create_time_before"),
        descending=request.order_by == pb.MESSAGE_ORDER_SEQUENCE_DESC,
    )


def page_size(requested: int) -> int:
    """Return the size of a page: the requested size up to a maximum, or the default."""
    return min(requested or limits.DEFAULT_PAGE_SIZE, limits.MAX_PAGE_SIZE)
