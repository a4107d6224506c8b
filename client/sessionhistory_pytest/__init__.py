"""Fixtures of pytest for services that use Session History: ``pip install 'session-history[testing]'``.

- ``session_history_client``: a client of a real server on a real Postgres, empty when the test begins.
- ``session_history_server``: the same server, for other clients, as in
  ``AsyncSessionHistoryClient(session_history_server.target)``.
- ``session_history_target``: the address of the server, the same for the whole run, for a service that is
  configured once. This fixture does not empty the server: a test whose service stores something also uses one
  of the other two.
- ``session_history_keys``: a server on the same data that asks each call for an API key, and makes keys of
  any tenant. It does not empty the server, either.

The first test that uses a fixture starts the server, which takes seconds. For every other test the fixture
takes milliseconds, and waits for the calls of the previous test. With pytest-xdist each worker has a server
of its own. When the run ends, the plugin stops the server and removes its files.
"""

# Every run of pytest imports this module, even if it uses no fixture. So the fixtures do the slow imports.
from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from sessionhistory import SessionHistoryClient
    from sessionhistory_pytest._process import ServerProcess

__all__ = ["SessionHistoryKeys", "SessionHistoryServer"]

_SCOPES: Final = frozenset({"read", "write", "admin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHistoryServer:
    """A running server, with its addresses."""

    target: str
    """The address of the server, ``HOST:PORT``, for plaintext."""
    database_url: str
    """The URL of the server's Postgres, for tests that read the tables."""


class SessionHistoryKeys:
    """A running server that asks each call for an API key, and makes the keys.

    Args:
        process: The process of the server.
    """

    def __init__(self, process: ServerProcess) -> None:
        self._process = process
        self.target: str = process.guard()
        """The address of the server, ``HOST:PORT``, for plaintext."""

    def make_key(
        self,
        *,
        tenant: str = "default",
        scopes: Iterable[str] = ("read", "write"),
        user_id: str | None = None,
        application_id: str | None = None,
        require_user_id: bool = False,
        expire_time: datetime | None = None,
    ) -> str:
        """Return a new key, which is valid for the whole run.

        Args:
            tenant: The tenant of the key. The server without keys has the tenant ``default``.
            scopes: The rights of the key: of ``read``, ``write`` and ``admin``.
            user_id: The user that the key is bound to; ``None``: none.
            application_id: The application that the key is bound to; ``None``: none.
            require_user_id: Whether each call must name the user that it acts for.
            expire_time: When the key expires, with a time zone; ``None``: never.

        Raises:
            ValueError: there is no scope, or another one.
        """
        rights = sorted(set(scopes))
        if not rights or not _SCOPES.issuperset(rights):
            raise ValueError(f"scopes: give some of {', '.join(sorted(_SCOPES))}")
        return self._process.make_key(
            tenant,
            display_name="test",
            scopes=rights,
            user_id=user_id,
            application_id=application_id,
            require_user_id=require_user_id,
            expire_time=expire_time and expire_time.astimezone(UTC).isoformat(),
        )


@pytest.fixture(scope="session")
def _session_history_process() -> Iterator[ServerProcess]:
    from sessionhistory_pytest import _process  # noqa: PLC0415 - see above

    with _process.running() as process:
        yield process


@pytest.fixture(scope="session")
def session_history_target(_session_history_process: ServerProcess) -> str:
    """Return the address of a Session History server, which is the same for the whole run."""
    return _session_history_process.target


@pytest.fixture(scope="session")
def session_history_keys(_session_history_process: ServerProcess) -> SessionHistoryKeys:
    """Return a Session History server that asks for API keys, and makes them, for the whole run."""
    return SessionHistoryKeys(_session_history_process)


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
