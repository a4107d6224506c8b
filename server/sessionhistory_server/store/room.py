"""The room that the limits of its tenant, its user and its session leave for a write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory_server.errors import limit_reached

if TYPE_CHECKING:
    from sessionhistory_server.errors import LimitReachedError


class Room:
    """Room without limits. A subclass reserves the room that a write takes, until the call ends."""

    max_messages: int | None = None
    """The limit of messages in a session."""

    def take_session(self) -> LimitReachedError | None:
        """Reserve a new session; return the error if a limit of sessions is reached."""
        return None

    def take_bytes(self, size_bytes: int) -> LimitReachedError | None:  # noqa: ARG002 - a subclass uses it
        """Reserve bytes of new messages; return the error if a limit of bytes would be exceeded."""
        return None

    def require_messages(self, session_id: str, stored: int, new: int) -> None:
        """Require that a session may store more messages.

        Raises:
            LimitReachedError: it would have too many.
        """
        if self.max_messages is not None and stored + new > self.max_messages:
            raise limit_reached("session_messages", self.max_messages, stored, session_id=session_id)


UNLIMITED: Final = Room()
