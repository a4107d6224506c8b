"""The client of Session History, which keeps the conversation history of LLM applications.

``SessionHistoryClient`` is for threads, ``AsyncSessionHistoryClient`` for asyncio; they have the same
methods. What they take and return is here too; what they raise is in ``sessionhistory.errors``. The
generated stubs are in ``sessionhistory.v1``.

PYTEST_DONT_REWRITE: there are no assertions here, and a program may import this before it runs pytest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
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

# Where each name is that is not in types.
_HOMES: Final = {
    "AsyncMessageStream": "_async.stream",
    "AsyncSessionHistoryClient": "_async.client",
    "MessageStream": "_sync.stream",
    "SessionHistoryClient": "_sync.client",
    "SessionHistoryError": "errors",
}
_MODULES: Final = ("errors", "types", "v1")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever has that name
    """Import what is asked for when it is: who uses the stubs alone need not wait for the clients."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES.get(name, 'types')}")
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
