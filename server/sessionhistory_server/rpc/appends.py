"""What the requests share that append: the same rules, the same way to the use case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from sessionhistory.v1.append_message_stream_pb2 import AppendMessageStreamHeader
from sessionhistory_server.history import AppendRequest
from sessionhistory_server.rpc import convert, messages, state, validate
from sessionhistory_server.rpc.checks import Checks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessionhistory.v1 import message_pb2 as mpb

    Request = pb.AppendMessageRequest | pb.AppendMessagesRequest | AppendMessageStreamHeader


def checked(request: Request, *, require_user_id: bool, prefix: str = "") -> Checks:
    """Check all but the messages; ``prefix`` is where the request stands in what was sent."""
    checks, create = Checks(prefix), request.create_session
    creates = request.HasField("create_session")
    checks.identifier("session_id", request.session_id, required=not creates)
    owned = bool(request.user_id or create.user_id)
    checks.user_id("user_id", request.user_id, required=require_user_id and not owned)
    if creates:
        validate.check_session(checks, "create_session", create, require_user_id=False)
        active = create.status in (spb.SESSION_STATUS_UNSPECIFIED, spb.SESSION_STATUS_ACTIVE)
        checks.require(active, "create_session.status", "must be ACTIVE: the session takes messages")
        for name in ("session_id", "user_id"):
            own, given = getattr(request, name), getattr(create, name)
            agree = not own or not given or own == given
            checks.require(agree, f"create_session.{name}", f"must be empty or the same as {name}")
    if request.HasField("expected_last_sequence"):
        checks.not_negative("expected_last_sequence", request.expected_last_sequence)
    if not isinstance(request, AppendMessageStreamHeader):
        state.check_patch(checks, "state_patch", request.state_patch)
        checks.not_negative("expected_state_version", request.expected_state_version)
    if isinstance(request, pb.AppendMessagesRequest):
        checks.not_negative("replace_after_sequence", request.replace_after_sequence)
    elif request.HasField("history"):
        checks.not_negative("history.max_messages", request.history.max_messages)
        checks.not_negative("history.token_budget", request.history.token_budget)
        checks.not_negative("history.max_turns", request.history.max_turns)
    return checks


def translated(request: Request, new: Iterable[mpb.Message]) -> AppendRequest:
    """Return what the use case is asked for, with these messages."""
    create = request.create_session
    user_id = request.user_id or create.user_id or None
    history = replace_after_sequence = None
    if isinstance(request, pb.AppendMessagesRequest):
        replace_after_sequence = convert.optional(request, "replace_after_sequence")
    elif request.HasField("history"):
        history = convert.window_limits(request.history)
    return AppendRequest(
        session_id=request.session_id or create.session_id,
        user_id=user_id,
        messages=[messages.new_message(message) for message in new],
        create_session=convert.session_content(create, user_id)
        if request.HasField("create_session")
        else None,
        expected_last_sequence=convert.optional(request, "expected_last_sequence"),
        replace_after_sequence=replace_after_sequence,
        history=history,
        state=None if isinstance(request, AppendMessageStreamHeader) else state.change_of(request),
    )
