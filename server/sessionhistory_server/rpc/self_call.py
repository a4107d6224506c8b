"""Let a server call itself, to show that it answers."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health

if TYPE_CHECKING:
    from collections.abc import Callable

_METHOD: Final = f"/{health.SERVICE_NAME}/Check"
_TIMEOUT_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = 0.2

_OPTIONS: Final = (
    # Each call uses a new connection, which shows that the server accepts new callers.
    ("grpc.use_local_subchannel_pool", 1),
    # gRPC would use the proxy of the environment even for an abstract Unix socket.
    ("grpc.enable_http_proxy", 0),
)
# These codes mean that the server has not answered. Any other code is an answer, for example of an overload.
_UNANSWERED: Final = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
}


class SelfCall:
    """A call to a server at an address on which no other process listens.

    Another worker might answer on the port that workers share. The address is an abstract Unix socket of
    Linux: it needs no folder, and ends with the process.
    """

    def __init__(self) -> None:
        self.address: Final = f"unix-abstract:session-history-{secrets.token_hex(16)}"
        """The address on which the server must listen, too."""

    async def until_answered(self, has_taken: Callable[[], bool]) -> None:
        """Wait until the server has answered; repeat the call until then.

        Args:
            has_taken: Returns whether the server has accepted any call since. Under load it may accept other
                calls long before this one. That also shows that it accepts calls.
        """
        while not (await self._is_answered() or has_taken()):  # noqa: ASYNC110 - no event reports the answer
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _is_answered(self) -> bool:
        async with grpc.aio.insecure_channel(self.address, options=_OPTIONS) as channel:
            check: Any = channel.unary_unary(_METHOD)  # the answer is bytes: there are no serializers
            try:
                await check(b"", timeout=_TIMEOUT_SECONDS)
            except grpc.aio.AioRpcError as error:
                return error.code() not in _UNANSWERED
        return True
