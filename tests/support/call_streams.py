"""A CallStream of a test, and its calls."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any

import grpc

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.errors import failure_of_outcome
from support.service import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

ORDERED = {"unordered": False}
UNORDERED = {"unordered": True}


def appending(session_id: str = "s", content: str = "hello", **fields: Any) -> dict[str, Any]:
    """Return a call that appends to a session, which it creates if it is missing."""
    message = {"role": "ROLE_USER", "content": content, "message_id": fields.pop("message_id", "")}
    named = {"session_id": session_id, "message": message, "new_session": {}}
    return {"append_message": named | fields}


def reading(session_id: str = "s", **fields: Any) -> dict[str, Any]:
    """Return a call that reads a window."""
    return {"get_history": {"session_id": session_id, **fields}}


class OpenCalls:
    """A stream and the outcomes that have arrived.

    Args:
        stub: The stub of the service.
        header: The fields of the header; ``None``: the first message has none.
        options: Those of gRPC.
    """

    def __init__(self, stub: Any, header: dict[str, Any] | None = None, **options: Any) -> None:
        self.call = stub.CallStream(**options)
        self.outcomes: dict[int, Any] = {}
        self.responses: list[pb.CallStreamResponse] = []
        self.endings: list[pb.CallStreamEnding] = []
        self._header = header
        self._numbers = count(1)

    async def send(self, *calls: dict[str, Any]) -> list[int]:
        """Send calls in one message; return their numbers, which are chosen unless a call has one."""
        named = [{"number": next(self._numbers)} | call for call in calls]
        header, self._header = self._header, None
        await self.call.write(pb.CallStreamRequest(header=header, calls=named))
        return [call["number"] for call in named]

    async def read(self) -> bool:
        """Read one response; return whether there was one before the end."""
        response = await asyncio.wait_for(self.call.read(), PATIENCE_SECONDS)
        if response is grpc.aio.EOF:
            return False
        self.responses.append(response)
        for outcome in response.outcomes:
            assert outcome.number not in self.outcomes, "the outcome came before"
            self.outcomes[outcome.number] = outcome
        if response.HasField("ending"):
            self.endings.append(response.ending)
        return True

    async def until(self, condition: Callable[[], object]) -> None:
        """Read until a condition holds."""
        while not condition():
            assert await self.read(), await self.code()

    async def results(self, numbers: list[int]) -> list[Any]:
        """Return the outcomes of calls, in the order of the numbers."""
        await self.until(lambda: self.outcomes.keys() >= set(numbers))
        return [self.outcomes.pop(number) for number in numbers]

    async def make(self, *calls: dict[str, Any]) -> list[Any]:
        """Make calls; return their outcomes in the order of the calls."""
        return await self.results(await self.send(*calls))

    async def end(self) -> str:
        """Send no more, and read to the end; return the name of the code with which the stream ended."""
        await self.call.done_writing()
        return await self.rest()

    async def rest(self) -> str:
        """Read to the end; return the name of the code with which the stream ended."""
        while await self.read():
            pass
        return await self.code()

    async def code(self) -> str:
        """Return the name of the code with which the stream ended."""
        code: grpc.StatusCode = await self.call.code()
        return code.name


async def made(stub: Any, *calls: dict[str, Any], **options: Any) -> list[Any]:
    """Make calls on a stream of their own, which must end well; return their outcomes in their order."""
    stream = OpenCalls(stub, **options)
    outcomes = await stream.make(*calls)
    assert await stream.end() == "OK"
    return outcomes


def reason_of(outcome: Any) -> tuple[str, str]:
    """Return the code and the reason of a failed call."""
    failure = failure_of_outcome(outcome.error)
    assert failure.code is not None, outcome
    assert failure.domain == "sessionhistory.v1"
    return failure.code.name, failure.reason
