"""Read metrics in the format of Prometheus."""

from __future__ import annotations

import asyncio
import urllib.request

from prometheus_client.parser import text_string_to_metric_families


class Metrics:
    """The metrics that a port serves."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._url = f"http://127.0.0.1:{port}/metrics"

    def read(self) -> dict[tuple[str, ...], float]:
        """Fetch the metrics of another process: values by name and labels' values."""
        with urllib.request.urlopen(self._url, timeout=10) as answer:
            text = answer.read().decode()
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def fetch(self) -> dict[tuple[str, ...], float]:
        """Fetch the metrics without blocking a service that runs on the test's event loop."""
        return await asyncio.to_thread(self.read)

    async def show(self, value: float, *key: str) -> bool:
        """Return whether one of the metrics has a value."""
        return (await self.fetch()).get(key) == value
