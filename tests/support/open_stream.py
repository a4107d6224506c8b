"""A stream of a message that a caller has begun and does not finish."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest

from sessionhistory.v1 import append_message_stream_pb2 as pb
from support.errors import failure_of

if TYPE_CHECKING:
    from support.errors import Failure


class OpenStream:
    """An open AppendMessageStream, whose header and one piece, ``so far``, are sent by ``begin``.

    Args:
        stub: The methods of the service, which send the credential.
    """

    def __init__(self, stub: Any) -> None:
        self.session_id = secrets.token_hex(16)
        self.call: Any = stub.AppendMessageStream()

    async def begin(self, on_break: int = 0) -> None:
        """Wait until the server has accepted the stream, and send the piece."""
        header: dict[str, Any] = {
            "session_id": self.session_id,
            "message": {"message_id": "m", "role": 3},
            "new_session": {},
            "on_break": on_break,
        }
        await self.call.write(pb.AppendMessageStreamRequest(header=header))
        await self.call.initial_metadata()
        await self.write("so far")

    async def write(self, text: str) -> None:
        """Send another piece."""
        await self.call.write(pb.AppendMessageStreamRequest(delta={"text": text}))

    async def finish(self) -> str:
        """Finish the message; return its content."""
        await self.call.write(pb.AppendMessageStreamRequest(finish={}))
        await self.call.done_writing()
        return str((await self.call).message.content)

    async def failure(self) -> Failure:
        """Wait until the server ends the stream; return its error."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call
        return failure_of(caught.value)
