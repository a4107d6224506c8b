"""The rules of requests about context windows and summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory_server.rpc.validation.message import check_message
from sessionhistory_server.rpc.validation.session import check_named, check_window

if TYPE_CHECKING:
    from sessionhistory.v1 import session_history_service_pb2 as pb
    from sessionhistory_server.rpc.validation.checks import Checks


def check_get(checks: Checks, request: pb.GetHistoryRequest) -> None:
    """Check a request for a context window."""
    check_named(checks, request)
    check_window(checks, "", request)
    checks.not_negative("before_sequence", request.before_sequence)
    checks.not_negative("max_turns", request.max_turns)


def check_compact(checks: Checks, request: pb.CompactHistoryRequest) -> None:
    """Check a request to store a summary. Fill in the default role."""
    request.message.role = request.message.role or mpb.ROLE_SYSTEM
    check_named(checks, request)
    checks.require(request.through_sequence > 0, "through_sequence", "must be 1 or more")
    _check_summary(checks, request.message)
    checks.not_negative("expected_last_sequence", request.expected_last_sequence)
    checks.not_negative("expected_compacted_through_sequence", request.expected_compacted_through_sequence)


def _check_summary(checks: Checks, message: mpb.Message) -> None:
    said = message.content or message.parts or message.payload
    checks.require(said, "message", "must have content, parts or payload")
    check_message(checks, "message", message)
    checks.require(message.role != mpb.ROLE_TOOL, "message.role", "must not be TOOL")
    checks.require(not message.tool_calls, "message.tool_calls", "must be empty")
    checks.require(not message.pinned, "message.pinned", "must be false: a summary is in every window")
