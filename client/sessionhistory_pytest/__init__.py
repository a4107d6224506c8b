"""Session History for the tests of other services: ``pip install 'session-history[testing]'``, no set-up.

``session_history_client`` is a client of a real server on a real Postgres, empty when the test begins;
``session_history_server`` is that server, for other clients, as in
``AsyncSessionHistoryClient(session_history_server.target)``; ``session_history_target`` is its address, the
same for the whole run, for a service that is configured once. That one empties nothing: a test whose
service stores something asks for one of the other two as well.

The first test to ask starts the server, in seconds; then each costs milliseconds. Calls of the test before
that the server has got are waited for. In pytest-xdist each worker has its server. Nothing is left behind.
"""

# Every run of pytest imports this, also one that uses none of it: what is heavy is imported by a fixture.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory import SessionHistoryClient
    from sessionhistory_pytest._process import ServerProcess

__all__ = ["SessionHistoryServer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHistoryServer:
    """A running server."""

    target: str
    """Where it serves, as ``HOST:PORT``, in plaintext."""
    database_url: str
    """Its Postgres, as a libpq URL, for a look into the tables."""


@pytest.fixture(scope="session")
def _session_history_process() -> Iterator[ServerProcess]:
    from sessionhistory_pytest import _process  # noqa: PLC0415 - see above

    with _process.running() as process:
        yield process


@pytest.fixture(scope="session")
def session_history_target(_session_history_process: ServerProcess) -> str:
    """The address of a Session History server, the same for the whole run."""
    return _session_history_process.target


@pytest.fixture
def session_history_server(_session_history_process: ServerProcess) -> SessionHistoryServer:
    """A Session History server that holds nothing when the test begins."""
    process = _session_history_process
    process.empty()
    return SessionHistoryServer(target=process.target, database_url=process.database_url)


@pytest.fixture
def session_history_client(session_history_server: SessionHistoryServer) -> Iterator[SessionHistoryClient]:
    """A client of a Session History server that holds nothing when the test begins."""
    from sessionhistory import SessionHistoryClient  # noqa: PLC0415 - see above

    with SessionHistoryClient(session_history_server.target) as client:
        yield client
