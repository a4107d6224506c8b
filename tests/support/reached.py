"""A plugin of pytest that writes the statements sent by the store into the file named by a variable."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sessionhistory_server.store.postgres.connection import Connection

VARIABLE = "SESSION_HISTORY_TEST_REACHED"

_texts: set[str] = set()
_send = Connection.fetch


async def _fetch(connection: Connection, query: Any, *arguments: Any, **options: Any) -> Any:
    _texts.add(query)
    return await _send(connection, query, *arguments, **options)


def pytest_configure() -> None:
    """Begin to record."""
    Connection.fetch = _fetch  # type: ignore[method-assign]


def pytest_sessionfinish() -> None:
    """Write the recorded statements."""
    Path(os.environ[VARIABLE]).write_text(json.dumps(sorted(_texts)))
