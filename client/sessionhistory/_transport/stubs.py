"""The stubs of the contract's services as one object: no two of their methods have the same name."""

from __future__ import annotations

from typing import Any, Final

from sessionhistory.v1 import credentials_service_pb2_grpc, session_history_service_pb2_grpc

# The generated stubs have no types.
_STUBS: Final[tuple[Any, ...]] = (
    session_history_service_pb2_grpc.SessionHistoryServiceStub,
    credentials_service_pb2_grpc.CredentialsServiceStub,
)


class Stub:
    """The methods of all services on a channel.

    Args:
        channel: A channel for asyncio or for threads.
    """

    def __init__(self, channel: object) -> None:
        for stub in _STUBS:
            vars(self).update(vars(stub(channel)))
