"""The RPC of context windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.model.caller import READ
from sessionhistory_server.rpc.convert import window as convert
from sessionhistory_server.rpc.convert.fields import optional
from sessionhistory_server.rpc.dispatch import rpc
from sessionhistory_server.rpc.validation import window as rules

if TYPE_CHECKING:
    from sessionhistory.v1 import session_history_service_pb2 as pb
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.observability.counters import Metrics
    from sessionhistory_server.usecases.windows import Windows


class WindowsServicer:
    """The servicer of context windows."""

    def __init__(self, windows: Windows, metrics: Metrics) -> None:
        self._windows = windows
        self._metrics = metrics

    @rpc(READ, rules.check_get, is_large=True)
    async def GetHistory(
        self, caller: Caller, request: pb.GetHistoryRequest, response: pb.GetHistoryResponse
    ) -> None:
        """Return the context window."""
        limits = convert.window_limits(request, optional(request, "before_sequence"))
        window = await self._windows.get(caller, request.session_id, limits)
        self._metrics.count_window(window.cut)
        convert.show_window(window, response.history)
