"""A control of the load without a service."""

from __future__ import annotations

from sessionhistory_server.observability.counters import Metrics, numbers_per_worker
from sessionhistory_server.observability.shared_memory import SharedNumbers
from sessionhistory_server.rpc.load.control import LoadControl
from sessionhistory_server.rpc.server import METHODS


def load_control(max_calls: int = 1_000) -> LoadControl:
    """Return a control that lets calls in."""
    metrics = Metrics(METHODS, SharedNumbers(1, numbers_per_worker(METHODS)), 0, dict)
    return LoadControl(
        max_calls=max_calls, max_streams=max_calls, max_wait_seconds=30, rates=None, metrics=metrics
    )
