"""The client's methods for the state of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory._codec.fields import build
from sessionhistory._codec.ids import checked_user_id
from sessionhistory._codec.json_text import encode_json_object
from sessionhistory._codec.session import decode_session
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from sessionhistory._async.transport import AsyncTransport
    from sessionhistory.types import JsonObject, Session


class AsyncState:
    """The method that changes the state of a session."""

    _transport: AsyncTransport

    async def update_state(
        self,
        session_id: str,
        patch: JsonObject,
        *,
        user_id: str | None = None,
        expected_state_version: int | None = None,
        timeout_seconds: float | None = None,
    ) -> Session:
        """Change the state of a session by a JSON merge patch, and return the session.

        Members that the patch does not name are not changed, so concurrent patches of other members are
        preserved.

        Args:
            session_id: The session.
            patch: A member that is ``None`` is removed, an object is merged into the member of its name, and
                any other value replaces it.
            user_id: The user that the call acts for.
            expected_state_version: The ``state_version`` that the session must have; otherwise the call
                raises ``StateVersionMismatchError``. Only with a version is the call made again if its
                connection breaks. If the first attempt has changed the state, the second one raises
                this error, too.
            timeout_seconds: How long the call may take, with all its retries.
        """
        request = build(
            pb.UpdateStateRequest,
            session_id=session_id,
            user_id=checked_user_id(user_id),
            patch=encode_json_object(patch, "patch"),
            expected_state_version=expected_state_version,
        )
        # Without a version, a repeat could undo a patch of another caller that came in between.
        repeatable = expected_state_version is not None
        response = await self._transport.call(
            "UpdateState", request, repeatable=repeatable, timeout_seconds=timeout_seconds
        )
        return decode_session(response.session)
