"""The list of all servicers. A new servicer needs one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.rpc.services.api_keys import ApiKeysServicer
from sessionhistory_server.rpc.services.call_stream import CallStreamServicer
from sessionhistory_server.rpc.services.forks import ForksServicer
from sessionhistory_server.rpc.services.messages import MessagesServicer
from sessionhistory_server.rpc.services.refused_tokens import RefusedTokensServicer
from sessionhistory_server.rpc.services.sessions import SessionsServicer
from sessionhistory_server.rpc.services.streams import StreamsServicer
from sessionhistory_server.rpc.services.summaries import SummariesServicer
from sessionhistory_server.rpc.services.tokens import TokensServicer
from sessionhistory_server.rpc.services.windows import WindowsServicer

if TYPE_CHECKING:
    from sessionhistory_server.observability.counters import Metrics
    from sessionhistory_server.rpc.accounting import Accounting
    from sessionhistory_server.rpc.load.control import LoadControl
    from sessionhistory_server.usecases.registry import UseCases


def servicers(
    use_cases: UseCases, metrics: Metrics, accounting: Accounting, load: LoadControl
) -> list[object]:
    """Return the servicers, each on its use cases."""
    messages = MessagesServicer(use_cases.messages, metrics)
    windows = WindowsServicer(use_cases.windows, metrics)
    sessions = SessionsServicer(use_cases.sessions)
    return [
        sessions,
        messages,
        windows,
        StreamsServicer(use_cases.streams, metrics),
        ForksServicer(use_cases.forks),
        SummariesServicer(use_cases.summaries),
        TokensServicer(use_cases.recounts),
        ApiKeysServicer(use_cases.api_keys),
        RefusedTokensServicer(use_cases.refused_tokens),
        CallStreamServicer(messages, windows, sessions, accounting, load),
    ]
