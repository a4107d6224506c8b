"""Fixtures of pytest for services that use Session History: ``pip install 'session-history[testing]'``.

- ``session_history_client``: a client of a real server on a real Postgres, empty when the test begins.
- ``session_history_server``: the same server, for other clients, as in
  ``AsyncSessionHistoryClient(session_history_server.target)``.
- ``session_history_target``: the address of the server, the same for the whole run, for a service that is
  configured once. This fixture does not empty the server: a test whose service stores something also uses one
  of the other two.

The first test that uses a fixture starts the server, which takes seconds. For every other test the fixture
takes milliseconds, and waits for the calls of the previous test. With pytest-xdist each worker has a server
of its own. When the run ends, the plugin stops the server and removes its files.
"""

# Every run of pytest imports this module, even if it uses no fixture. So the fixtures do the slow imports.
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
    """A running server, with its addresses."""

    target: str
    """The address of the server, ``HOST:PORT``, for plaintext."""
    database_url: str
    """The URL of the server's Postgres, for tests that read the tables."""


@pytest.fixture(scope="session")
def _session_history_process() -> Iterator[ServerProcess]:
    from sessionhistory_pytest import _process  # noqa: PLC0415 - see above

    with _process.running() as process:
        yield process


@pytest.fixture(scope="session")
def session_history_target(_session_history_process: ServerProcess) -> str:
    """Return the address of a Session History server, which is the same for the whole run."""
    return _session_history_process.target


@pytest.fixture
def session_history_server(_session_history_process: ServerProcess) -> SessionHistoryServer:
    """Return a Session History server that is empty when the test begins."""
    process = _session_history_process
    process.empty()
    return SessionHistoryServer(target=process.target, database_url=process.database_url)


@pytest.fixture
def session_history_client(session_history_server: SessionHistoryServer) -> Iterator[SessionHistoryClient]:
    """Yield a client of a Session History server that is empty when the test begins."""
    from sessionhistory import SessionHistoryClient  # noqa: PLC0415 - see above

    with SessionHistoryClient(session_history_server.target) as client:
        yield client
