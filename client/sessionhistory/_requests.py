"""The requests of the client's methods."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask

from sessionhistory._enums import ROLES, SESSION_ORDERS, SESSION_STATUSES
from sessionhistory._failures import invalid_field
from sessionhistory._fields import (
    build,
    history_options,
    json_object,
    message,
    number,
    session,
    session_content,
    timestamp,
)
from sessionhistory.types import SessionOrder, SessionUpdate
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sessionhistory import types

R = TypeVar("R", pb.GetSessionRequest, pb.RecountTokensRequest, pb.UndeleteSessionRequest)


def create_session(source: types.Session, *, allow_existing: bool) -> pb.CreateSessionRequest:
    """Ask for a session, with an id that a retry can name again."""
    request = build(
        pb.CreateSessionRequest, "", session=session(source, "session"), allow_existing=allow_existing
    )
    if not source.session_id:
        request.session_id = str(uuid.uuid4())
        request.allow_existing = True
    return request


def of_session(kind: type[R], session_id: str, *, user_id: str | None) -> R:
    """Ask for something of a session, as a whole."""
    return build(kind, "", session_id=session_id, user_id=user_of(user_id))


def update_session(
    session_id: str, changes: SessionUpdate, *, user_id: str | None, etag: str
) -> pb.UpdateSessionRequest:
    """Ask for the change of what is named."""
    for unknown in changes.keys() - SessionUpdate.__annotations__.keys():
        raise TypeError(f"update_session() got an unexpected keyword argument {unknown!r}")
    values = session_content("session", **changes)
    changed = build(session_pb2.Session, "session", session_id=session_id, etag=etag, **values)
    mask = FieldMask(paths=list(changes))
    return build(pb.UpdateSessionRequest, "", session=changed, update_mask=mask, user_id=user_of(user_id))


def update_state(
    session_id: str, patch: types.JsonObject, *, user_id: str | None, expected_state_version: int | None
) -> pb.UpdateStateRequest:
    """Ask for the change of a state."""
    return build(
        pb.UpdateStateRequest,
        "",
        session_id=session_id,
        user_id=user_of(user_id),
        patch=json_object(patch, "patch"),
        expected_state_version=expected_state_version,
    )


def get_active_session(user_id: str, *, create: types.Session | None) -> pb.GetActiveSessionRequest:
    """Ask for a user's active session; one to be made has an id that a retry can tell it by."""
    made = None if create is None else session(create, "create_session")
    if made is not None and not made.session_id:
        made.session_id = str(uuid.uuid4())
    return build(pb.GetActiveSessionRequest, "", user_id=user_of(user_id), create_session=made)


def delete_session(
    session_id: str, *, user_id: str | None, purge: bool, allow_missing: bool
) -> pb.DeleteSessionRequest:
    """Ask for the end of a session."""
    return build(
        pb.DeleteSessionRequest,
        "",
        session_id=session_id,
        user_id=user_of(user_id),
        purge=purge,
        allow_missing=allow_missing,
    )


def append_message(  # noqa: PLR0913 - of the contract
    session_id: str | None,
    source: types.Message,
    *,
    user_id: str | None,
    create: types.Session | None,
    expected_last_sequence: int | None,
    history: types.HistoryOptions | None,
    state_patch: types.JsonObject | None,
    expected_state_version: int | None,
) -> pb.AppendMessageRequest:
    """Ask for one message to be stored."""
    return build(
        pb.AppendMessageRequest,
        "",
        session_id=session_id_of(session_id, create),
        user_id=user_of(user_id),
        message=message(source, "message"),
        create_session=session(create, "create_session") if create is not None else None,
        expected_last_sequence=expected_last_sequence,
        history=history_options(history),
        state_patch=json_object(state_patch, "state_patch"),
        expected_state_version=expected_state_version,
    )


def append_messages(  # noqa: PLR0913 - of the contract
    session_id: str | None,
    sources: Iterable[types.Message],
    *,
    user_id: str | None,
    create: types.Session | None,
    expected_last_sequence: int | None,
    replace_after_sequence: int | None,
    state_patch: types.JsonObject | None,
    expected_state_version: int | None,
) -> pb.AppendMessagesRequest:
    """Ask for several messages to be stored."""
    return build(
        pb.AppendMessagesRequest,
        "",
        session_id=session_id_of(session_id, create),
        user_id=user_of(user_id),
        messages=[message(source, f"messages[{i}]") for i, source in enumerate(sources)],
        create_session=session(create, "create_session") if create is not None else None,
        expected_last_sequence=expected_last_sequence,
        replace_after_sequence=replace_after_sequence,
        state_patch=json_object(state_patch, "state_patch"),
        expected_state_version=expected_state_version,
    )


def get_message(
    session_id: str, *, message_id: str | None, sequence: int | None, user_id: str | None
) -> pb.GetMessageRequest:
    """Ask for one message."""
    if (message_id is None) == (sequence is None):
        raise invalid_field("key", "give message_id or sequence, one of them")
    return build(
        pb.GetMessageRequest,
        "",
        session_id=session_id,
        user_id=user_of(user_id),
        message_id=message_id,
        sequence=sequence,
    )


def get_history(
    session_id: str,
    *,
    user_id: str | None,
    max_messages: int | None,
    token_budget: int | None,
    before_sequence: int | None,
    include_pinned: bool | None,
    max_turns: int | None,
) -> pb.GetHistoryRequest:
    """Ask for a window."""
    return build(
        pb.GetHistoryRequest,
        "",
        session_id=session_id,
        user_id=user_of(user_id),
        max_messages=max_messages,
        token_budget=token_budget,
        before_sequence=before_sequence,
        include_pinned=include_pinned,
        max_turns=max_turns,
    )


def list_sessions(  # noqa: PLR0913 - of the contract
    *,
    page_size: int,
    page_token: str,
    user_id: str | None = None,
    statuses: Collection[types.SessionStatus] = (),
    labels: Mapping[str, str] | None = None,
    title_contains: str = "",
    create_time_after: datetime | None = None,
    create_time_before: datetime | None = None,
    active_after: datetime | None = None,
    active_before: datetime | None = None,
    show_deleted: bool = False,
    order_by: types.SessionOrder = SessionOrder.LAST_ACTIVITY,
) -> pb.ListSessionsRequest:
    """Ask for a page of sessions."""
    return build(
        pb.ListSessionsRequest,
        "",
        user_id=user_of(user_id),
        statuses=[number(SESSION_STATUSES, word, f"statuses[{i}]") for i, word in enumerate(statuses)],
        labels=labels,
        title_contains=title_contains,
        create_time_after=timestamp(create_time_after, "create_time_after"),
        create_time_before=timestamp(create_time_before, "create_time_before"),
        active_after=timestamp(active_after, "active_after"),
        active_before=timestamp(active_before, "active_before"),
        show_deleted=show_deleted,
        order_by=number(SESSION_ORDERS, order_by, "order_by"),
        page_size=page_size,
        page_token=page_token,
    )


def list_messages(  # noqa: PLR0913 - of the contract
    session_id: str,
    *,
    page_size: int,
    page_token: str,
    user_id: str | None = None,
    descending: bool = False,
    after_sequence: int = 0,
    before_sequence: int | None = None,
    roles: Collection[types.Role] = (),
    create_time_after: datetime | None = None,
    create_time_before: datetime | None = None,
) -> pb.ListMessagesRequest:
    """Ask for a page of messages."""
    return build(
        pb.ListMessagesRequest,
        "",
        session_id=session_id,
        user_id=user_of(user_id),
        descending=descending,
        after_sequence=after_sequence,
        before_sequence=before_sequence,
        roles=[number(ROLES, word, f"roles[{i}]") for i, word in enumerate(roles)],
        create_time_after=timestamp(create_time_after, "create_time_after"),
        create_time_before=timestamp(create_time_before, "create_time_before"),
        page_size=page_size,
        page_token=page_token,
    )


def user_of(user_id: str | None) -> str | None:
    """Return the user a call acts for. An empty one would be any, which only ``None`` may say."""
    if user_id == "":
        raise invalid_field("user_id", "must not be empty; leave it out to act for any user")
    return user_id


def session_id_of(session_id: str | None, create: types.Session | None) -> str | None:
    """Return the session's id; a new session gets one here, so that a retry names it again."""
    if not session_id and create is not None:
        return create.session_id or str(uuid.uuid4())
    return session_id
