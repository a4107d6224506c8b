"""Serve in one process, as on systems where processes cannot share a port; run by tests."""

from __future__ import annotations

import asyncio
import sys

from sessionhistory_cli.server import service
from sessionhistory_server import app
from sessionhistory_server.config import Address, Settings
from sessionhistory_server.observability import logs
from sessionhistory_server.runtime import single_process


async def _never(*_: object, **__: object) -> None:
    await asyncio.Event().wait()


def main(url: str, *, stop_hangs: bool) -> None:
    """Serve a database; a stop ends at once, or never with ``stop_hangs``."""
    if stop_hangs:
        app.App.stop = _never  # type: ignore[method-assign]
        single_process.STOP_SLACK_SECONDS = 0.1  # type: ignore[misc]
    settings = Settings(
        database_url=url, listen=Address("127.0.0.1", 0), metrics_listen=None, grace_seconds=0
    )
    logs.configure(level="info", log_format="json")
    service.run(settings, url, None, None, workers=1, tend=lambda: None)


if __name__ == "__main__":
    main(sys.argv[1], stop_hangs="--stop-hangs" in sys.argv)
