"""The client of Session History, which keeps the conversation history of LLM applications.

``SessionHistoryClient`` is for threads, ``AsyncSessionHistoryClient`` for asyncio; they have the same
methods. What they take and return is here too; what they raise is in ``sessionhistory.errors``. The
generated stubs are in ``sessionhistory.v1``.

PYTEST_DONT_REWRITE: there are no assertions here, and a program may import this before it runs pytest.
"""

from sessionhistory._async.client import AsyncSessionHistoryClient
from sessionhistory._async.stream import AsyncMessageStream
from sessionhistory._sync.client import SessionHistoryClient
from sessionhistory._sync.stream import MessageStream
from sessionhistory.errors import SessionHistoryError
from sessionhistory.types import (
    AppendMessageResult,
    AppendMessagesResult,
    CompactHistoryResult,
    CreateSessionResult,
    ForkSessionResult,
    History,
    HistoryCut,
    HistoryOptions,
    HistorySettings,
    HistorySummary,
    JsonPart,
    MediaPart,
    Message,
    MessageFilters,
    MessagePage,
    MessageStatus,
    OnBreak,
    RecountTokensResult,
    ResetSessionResult,
    Role,
    Session,
    SessionFilters,
    SessionOrder,
    SessionPage,
    SessionParent,
    SessionStatus,
    SessionUpdate,
    TextPart,
    ToolCall,
    TruncateHistoryResult,
    Usage,
)

__all__ = [
    "AppendMessageResult",
    "AppendMessagesResult",
    "AsyncMessageStream",
    "AsyncSessionHistoryClient",
    "CompactHistoryResult",
    "CreateSessionResult",
    "ForkSessionResult",
    "History",
    "HistoryCut",
    "HistoryOptions",
    "HistorySettings",
    "HistorySummary",
    "JsonPart",
    "MediaPart",
    "Message",
    "MessageFilters",
    "MessagePage",
    "MessageStatus",
    "MessageStream",
    "OnBreak",
    "RecountTokensResult",
    "ResetSessionResult",
    "Role",
    "Session",
    "SessionFilters",
    "SessionHistoryClient",
    "SessionHistoryError",
    "SessionOrder",
    "SessionPage",
    "SessionParent",
    "SessionStatus",
    "SessionUpdate",
    "TextPart",
    "ToolCall",
    "TruncateHistoryResult",
    "Usage",
]
