"""What the servicers share: each holds some methods of the service."""

from __future__ import annotations

from typing import Protocol

from sessionhistory_server.rpc.checks import Checks


class NamesSession(Protocol):
    """A request that names a session, and may name the user it acts for."""

    session_id: str
    user_id: str


class Servicer:
    """Some methods of ``SessionHistoryService`` by their names, each from request to response message."""

    def __init__(self, *, require_user_id: bool) -> None:
        self.require_user_id = require_user_id

    def checked(self, request: NamesSession) -> Checks:
        """Check what every request has that names a session."""
        checks = Checks()
        checks.identifier("session_id", request.session_id, required=True)
        checks.user_id("user_id", request.user_id, required=self.require_user_id)
        return checks
