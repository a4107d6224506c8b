"""The client."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sessionhistory._async.edits import AsyncEdits
from sessionhistory._async.messages import AsyncMessages
from sessionhistory._async.sessions import AsyncSessions
from sessionhistory._async.stream import AsyncStreams
from sessionhistory._async.transport import AsyncTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    import grpc

DEFAULT_TIMEOUT_SECONDS: Final = 10.0


class AsyncSessionHistoryClient(AsyncSessions, AsyncMessages, AsyncStreams, AsyncEdits):
    """A client of a Session History service, to be shared and kept: it holds the connections.

    - Sessions: ``create_session``, ``get_session``, ``get_active_session``, ``list_sessions``,
      ``list_sessions_page``, ``update_session``, ``update_state``, ``delete_session``, ``undelete_session``,
      ``fork_session``, ``reset_session``, ``recount_tokens``.
    - Messages: ``append_message``, ``append_messages``, ``append_message_stream``, ``get_message``,
      ``list_messages``, ``list_messages_page``, ``truncate_history``.
    - The context for the next model call: ``get_history``, ``compact_history``.
    - The end: ``close``, or the end of a block.

    Every call has a deadline, and is tried again until then while the service is unavailable, if doing it
    twice does what doing it once does. That is so for all calls but these, which are then yours to repeat:
    ``create_session`` and ``fork_session`` with an id and without ``allow_existing``, ``update_session`` with
    an etag, ``update_state`` with an expected version, ``delete_session`` without ``allow_missing``,
    ``undelete_session``, and ``truncate_history`` without ``expected_last_sequence``.

    ``user_id`` says which user a call acts for: another's session is then not found.

    A call that fails raises ``SessionHistoryError``, in one of the classes of ``sessionhistory.errors``;
    a client that is closed raises ``RuntimeError``.

    Args:
        target: ``HOST:PORT``, or any target of gRPC; where it names several addresses, all of them are used.
        credentials: TLS, as ``grpc.ssl_channel_credentials()`` gives it; ``None``: plaintext.
        metadata: What to send with every call, for example ``{"authorization": "Bearer …"}``, or a function
            that returns it anew for each attempt. Keys are lower case.
        timeout_seconds: How long a call may take in all, where it does not say itself.
        options: Channel arguments of gRPC, beside or instead of the client's own.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Mapping[str, str | bytes] | Callable[[], Mapping[str, str | bytes]] = MappingProxyType({}),
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self._transport = AsyncTransport(
            target,
            credentials=credentials,
            metadata=metadata,
            timeout_seconds=timeout_seconds,
            options=options,
        )

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.close()

    async def close(self) -> None:
        """Close the connections. Calls under way, and those that come later, raise ``RuntimeError``."""
        await self._transport.close()
