"""The client of Session History, a service that keeps the conversations of LLM applications.

``SessionHistoryClient`` is for threads, ``AsyncSessionHistoryClient`` for asyncio; they have the same
methods. ``tls_credentials`` reads the files of TLS for them. This package also contains the values that they
take and return. The errors that they raise are in ``sessionhistory.errors``, and the generated stubs in
``sessionhistory.v1``.

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
    from sessionhistory._transport.tls import tls_credentials
    from sessionhistory.errors import SessionHistoryError
    from sessionhistory.types import (
        ApiKey,
        ApiKeyPage,
        ApiKeySecret,
        AppendMessageResult,
        AppendMessagesResult,
        CompactHistoryResult,
        CreateSessionResult,
        EnsureActiveSessionResult,
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
        MessageOrder,
        MessagePage,
        MessageStatus,
        OnBreak,
        ReasoningPart,
        RecountTokensResult,
        RefusedToken,
        RefusedTokenPage,
        ResetSessionResult,
        Role,
        Scope,
        Session,
        SessionFields,
        SessionFilters,
        SessionOrder,
        SessionPage,
        SessionParent,
        SessionStatus,
        SessionUpdate,
        TextPart,
        ToolCall,
        TruncateMessagesResult,
        UnansweredCalls,
        Usage,
    )

    __version__: str
    """The installed release."""

__all__ = [
    "ApiKey",
    "ApiKeyPage",
    "ApiKeySecret",
    "AppendMessageResult",
    "AppendMessagesResult",
    "AsyncMessageStream",
    "AsyncSessionHistoryClient",
    "CompactHistoryResult",
    "CreateSessionResult",
    "EnsureActiveSessionResult",
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
    "MessageOrder",
    "MessagePage",
    "MessageStatus",
    "MessageStream",
    "OnBreak",
    "ReasoningPart",
    "RecountTokensResult",
    "RefusedToken",
    "RefusedTokenPage",
    "ResetSessionResult",
    "Role",
    "Scope",
    "Session",
    "SessionFields",
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
    "TruncateMessagesResult",
    "UnansweredCalls",
    "Usage",
    "tls_credentials",
]

# The modules of the names that are not in ``types``.
_HOMES: Final = {
    "AsyncMessageStream": "_async.stream",
    "AsyncSessionHistoryClient": "_async.client",
    "MessageStream": "_sync.stream",
    "SessionHistoryClient": "_sync.client",
    "SessionHistoryError": "errors",
    "tls_credentials": "_transport.tls",
}
_MODULES: Final = ("errors", "types", "v1")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the value of any name
    """Import a name at its first use, so that a program with only the stubs does not load the clients."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - takes long to import

        return version("session-history")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES.get(name, 'types')}")
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES, "__version__"})
