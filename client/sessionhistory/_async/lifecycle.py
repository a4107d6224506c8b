"""The methods of the client that find where a user's conversation goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory import _requests, _responses

if TYPE_CHECKING:
    from sessionhistory._async.transport import AsyncTransport
    from sessionhistory.types import CreateSessionResult, Session


class AsyncLifecycle:
    """A part of the client."""

    _transport: AsyncTransport

    async def get_active_session(
        self, user_id: str, *, create_session: Session | None = None, timeout_seconds: float | None = None
    ) -> CreateSessionResult:
        """Return the session in which a user was active last, of those that are active.

        Args:
            user_id: The user.
            create_session: What to make if there is none, instead of ``SessionNotFoundError``; of calls at
                the same time one makes it.
            timeout_seconds: How long the call may take in all.
        """
        request = _requests.get_active_session(user_id, create=create_session)
        response = await self._transport.call("GetActiveSession", request, timeout_seconds=timeout_seconds)
        named = create_session is None or create_session.session_id
        return _responses.active_session_result(
            response, made_id="" if named else request.create_session.session_id
        )
