"""The client: all its methods, its construction and its end."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sessionhistory._async.active_sessions import AsyncActiveSessions
from sessionhistory._async.api_keys import AsyncApiKeys
from sessionhistory._async.forks import AsyncForks
from sessionhistory._async.history import AsyncHistories
from sessionhistory._async.messages import AsyncMessages
from sessionhistory._async.refused_tokens import AsyncRefusedTokens
from sessionhistory._async.sessions import AsyncSessions
from sessionhistory._async.state import AsyncState
from sessionhistory._async.stream import AsyncStreams
from sessionhistory._async.transport import AsyncTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    import grpc

    from sessionhistory._transport import aio

DEFAULT_TIMEOUT_SECONDS: Final = 10.0


class AsyncSessionHistoryClient(
    AsyncSessions,
    AsyncActiveSessions,
    AsyncState,
    AsyncForks,
    AsyncMessages,
    AsyncStreams,
    AsyncHistories,
    AsyncApiKeys,
    AsyncRefusedTokens,
):
    """Call a Session History service. Create one client, keep it, and share it: it holds the connections.

    The client opens a connection to each server when the first call begins. It opens another one when a call
    begins while others are in flight, up to eight.

    - Sessions: ``create_session``, ``get_session``, ``get_active_session``, ``ensure_active_session``,
      ``list_sessions``, ``list_sessions_page``, ``update_session``, ``update_state``, ``delete_session``,
      ``undelete_session``, ``fork_session``, ``reset_session``, ``recount_tokens``.
    - Messages, the whole conversation, as it was stored: ``append_message``, ``append_messages``,
      ``append_message_stream``, ``get_message``, ``list_messages``, ``list_messages_page``,
      ``truncate_messages``.
    - History, the context that a model is shown: ``get_history``, ``compact_history``.
    - API keys, by a client whose key has the scope ``ADMIN``: ``create_api_key``, ``list_api_keys``,
      ``list_api_keys_page``, ``rotate_api_key``, ``revoke_api_key``. JSON Web Tokens, by the same:
      ``refuse_token``, ``list_refused_tokens``, ``list_refused_tokens_page``.
    - The end: ``close``, or the end of the client's block.

    Every call has a deadline. Until the deadline, the client retries the call while the service is
    unavailable, if two executions have the same effect as one. This holds for all calls except these, which
    you must repeat yourself: ``create_session`` and ``fork_session`` with an id and without
    ``allow_existing``, ``update_session`` with an etag, ``update_state`` with an expected version,
    ``delete_session`` without ``allow_missing``, ``undelete_session``, ``truncate_messages`` without
    ``expected_last_sequence``, ``create_api_key`` and ``rotate_api_key``.

    ``user_id`` names the user that a call acts for: the call does not find the sessions of other users.

    A call that fails raises ``SessionHistoryError``, or one of its subclasses in ``sessionhistory.errors``.
    A call of a closed client raises ``RuntimeError``.

    Args:
        target: ``HOST:PORT``, or any target of gRPC. If it names several addresses, the client uses all.
        credentials: TLS, as ``tls_credentials()`` returns it; ``None``: plaintext.
        key: The API key or token; or a function, in asyncio also an async one, that returns it for each
            attempt of a call; ``None``: the server asks for none.
        plaintext_key: Whether to send the key without TLS to another machine. Without it, that is an error.
        metadata: The metadata of every call, for example ``{"x-request-id": "…"}``, or a function that
            returns the metadata for each attempt. Names are lower case.
        timeout_seconds: How long a call may take, with all its retries, if the call does not say.
        options: Channel arguments of gRPC, which are added to the client's own or replace them.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        credentials: grpc.ChannelCredentials | None = None,
        key: str | aio.KeyFunction | None = None,
        plaintext_key: bool = False,
        metadata: Mapping[str, str | bytes] | Callable[[], Mapping[str, str | bytes]] = MappingProxyType({}),
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self._transport = AsyncTransport(
            target,
            credentials=credentials,
            key=key,
            plaintext_key=plaintext_key,
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
        """Close the connections. Calls in flight, and later calls, raise ``RuntimeError``."""
        await self._transport.close()
