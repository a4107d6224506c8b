"""Requests that break a rule."""

from __future__ import annotations

from typing import Any

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb


def _append(**message: Any) -> pb.AppendMessageRequest:
    return pb.AppendMessageRequest(message=mpb.Message(**({"role": mpb.ROLE_USER} | message)))


_MESSAGE = mpb.Message(role=mpb.ROLE_USER, message_id="twice")

# Where a request has no session_id, the machine names a session.
NONSENSE: tuple[tuple[str, Any], ...] = (
    ("AppendMessage", _append(role=mpb.ROLE_UNSPECIFIED)),
    ("AppendMessage", _append(content="a\0b")),
    ("AppendMessage", _append(token_count=-1)),
    ("AppendMessage", _append(metadata="[]")),
    ("AppendMessage", _append(metadata='{"a": NaN')),
    ("AppendMessage", _append(message_id="not an id")),
    ("AppendMessage", _append(pinned=True, tool_calls=[mpb.ToolCall(name="f")])),
    ("AppendMessage", _append(role=mpb.ROLE_TOOL, pinned=True)),
    ("AppendMessage", _append(tool_calls=[mpb.ToolCall(id="nameless")])),
    ("AppendMessage", _append(parts=[mpb.Part()])),
    ("AppendMessage", _append(parts=[mpb.Part(reasoning={"signature": "of nothing"})])),
    ("AppendMessage", _append(usage=mpb.Usage())),
    ("AppendMessage", pb.AppendMessageRequest()),
    ("AppendMessage", pb.AppendMessageRequest(message=_MESSAGE, expected_last_sequence=-1)),
    ("AppendMessage", pb.AppendMessageRequest(message=_MESSAGE, history={"max_messages": -1})),
    ("AppendMessage", pb.AppendMessageRequest(message=_MESSAGE, history={"step_tokens": -1})),
    ("AppendMessage", pb.AppendMessageRequest(message=_MESSAGE, history={"step_messages": -1})),
    ("AppendMessage", pb.AppendMessageRequest(message=_MESSAGE, history={"unanswered_calls": 3})),
    ("CreateSession", pb.CreateSessionRequest(session={"history_settings": {"step_tokens": -1}})),
    ("CreateSession", pb.CreateSessionRequest(session={"history_settings": {"unanswered_calls": -1}})),
    ("UpdateSession", pb.UpdateSessionRequest(session={"history_settings": {"step_messages": -1}})),
    ("AppendMessage", pb.AppendMessageRequest(message=_MESSAGE, new_session={"status": 2})),
    ("AppendMessages", pb.AppendMessagesRequest()),
    ("AppendMessages", pb.AppendMessagesRequest(messages=[_MESSAGE, _MESSAGE])),
    ("AppendMessages", pb.AppendMessagesRequest(messages=[mpb.Message(role=mpb.ROLE_USER), mpb.Message()])),
    ("CreateSession", pb.CreateSessionRequest(session_id="not an id")),
    ("CreateSession", pb.CreateSessionRequest(session={"title": "a\0b"})),
    ("CreateSession", pb.CreateSessionRequest(session={"state": "1"})),
    ("CreateSession", pb.CreateSessionRequest(session={"application_id": "a\0b"})),
    ("ListSessions", pb.ListSessionsRequest(application_id="a" * 257)),
    ("GetActiveSession", pb.GetActiveSessionRequest(user_id="ann", application_id="\0")),
    ("GetSession", pb.GetSessionRequest(session_id="é")),
    ("UpdateSession", pb.UpdateSessionRequest(session_id="é", session={"title": "whose?"})),
    ("UpdateSession", pb.UpdateSessionRequest()),
    ("UpdateSession", pb.UpdateSessionRequest(session={"title": "t", "application_id": "a"})),
    ("UpdateSession", pb.UpdateSessionRequest(session={"title": "t"}, update_mask={})),
    ("UpdateSession", pb.UpdateSessionRequest(update_mask={"paths": ["user_id"]})),
    ("GetActiveSession", pb.GetActiveSessionRequest()),
    ("EnsureActiveSession", pb.EnsureActiveSessionRequest()),
    ("EnsureActiveSession", pb.EnsureActiveSessionRequest(user_id="ann", new_session={"status": 2})),
    ("EnsureActiveSession", pb.EnsureActiveSessionRequest(user_id="ann", new_session_id="not an id")),
    ("ForkSession", pb.ForkSessionRequest(user_id="ann", new_user_id="bob")),
    ("ForkSession", pb.ForkSessionRequest(new_session_id="not an id")),
    ("ResetSession", pb.ResetSessionRequest(new_session={"status": 2})),
    ("UpdateState", pb.UpdateStateRequest()),
    ("UpdateState", pb.UpdateStateRequest(patch="[]")),
    ("UpdateState", pb.UpdateStateRequest(patch="{}", expected_state_version=-1)),
    ("AppendMessage", pb.AppendMessageRequest(message=_MESSAGE, state_patch="null")),
    ("AppendMessages", pb.AppendMessagesRequest(messages=[_MESSAGE], expected_state_version=-1)),
    ("GetMessage", pb.GetMessageRequest()),
    ("GetMessage", pb.GetMessageRequest(sequence=0)),
    ("AppendMessages", pb.AppendMessagesRequest(messages=[_MESSAGE], keep_through_sequence=-1)),
    ("TruncateMessages", pb.TruncateMessagesRequest()),
    ("TruncateMessages", pb.TruncateMessagesRequest(keep_through_sequence=-1)),
    ("TruncateMessages", pb.TruncateMessagesRequest(keep_through_sequence=0, expected_last_sequence=-1)),
    ("GetHistory", pb.GetHistoryRequest(max_messages=-1)),
    ("GetHistory", pb.GetHistoryRequest(token_budget=-1)),
    ("GetHistory", pb.GetHistoryRequest(before_sequence=-1)),
    ("GetHistory", pb.GetHistoryRequest(max_turns=-1)),
    ("GetHistory", pb.GetHistoryRequest(step_tokens=-1)),
    ("GetHistory", pb.GetHistoryRequest(step_messages=-1)),
    ("GetHistory", pb.GetHistoryRequest(unanswered_calls=7)),
    ("CompactHistory", pb.CompactHistoryRequest(through_sequence=1)),
    ("CompactHistory", pb.CompactHistoryRequest(through_sequence=0, message={"content": "a"})),
    (
        "CompactHistory",
        pb.CompactHistoryRequest(through_sequence=1, message={"content": "a", "pinned": True}),
    ),
    ("ListMessages", pb.ListMessagesRequest(page_size=-1)),
    ("ListMessages", pb.ListMessagesRequest(after_sequence=-1)),
    ("ListMessages", pb.ListMessagesRequest(page_token="\u00fc")),
    ("ListSessions", pb.ListSessionsRequest(page_size=-1)),
    ("ListSessions", pb.ListSessionsRequest(page_token="AAAA")),
)
