"""Convert the filters of lists to the fields of a request."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sessionhistory import types
from sessionhistory._codec.enums import MESSAGE_ORDERS, ROLES, SESSION_ORDERS, SESSION_STATUSES
from sessionhistory._codec.fields import encode_list, encode_named, refuse_unknown
from sessionhistory._codec.ids import checked_application_id, checked_user_id
from sessionhistory._codec.times import encode_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Encoders = Mapping[str, Callable[[Any, str], Any]]

# The filters that need a conversion.
_OF_SESSIONS: Final[Encoders] = {
    "user_id": checked_user_id,
    "application_id": checked_application_id,
    "statuses": partial(encode_list, SESSION_STATUSES.encode),
    "create_time_after": encode_time,
    "create_time_before": encode_time,
    "last_activity_time_after": encode_time,
    "last_activity_time_before": encode_time,
    "order_by": SESSION_ORDERS.encode,
}
_OF_MESSAGES: Final[Encoders] = {
    "user_id": checked_user_id,
    "order_by": MESSAGE_ORDERS.encode,
    "roles": partial(encode_list, ROLES.encode),
    "create_time_after": encode_time,
    "create_time_before": encode_time,
}


def encode_session_filters(filters: types.SessionFilters) -> dict[str, Any]:
    """Return the fields of ``ListSessionsRequest`` for the filters."""
    refuse_unknown(filters, types.SessionFilters, "list_sessions")
    return encode_named(_OF_SESSIONS, {"order_by": types.SessionOrder.LAST_ACTIVITY_TIME_DESC, **filters})


def encode_message_filters(filters: types.MessageFilters) -> dict[str, Any]:
    """Return the fields of ``ListMessagesRequest`` for the filters."""
    refuse_unknown(filters, types.MessageFilters, "list_messages")
    return encode_named(_OF_MESSAGES, {"order_by": types.MessageOrder.SEQUENCE_ASC, **filters})
