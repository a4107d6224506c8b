"""Read the messages that a caller streams, and limit the time between them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import grpc.aio

from sessionhistory_server import call_context
from sessionhistory_server.errors import DeadlineExceededError, server_stopping
from sessionhistory_server.rpc.deadlines import seconds_left, within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.rpc.peers.connection import Context, Exchange
    from sessionhistory_server.rpc.streaming.credential import StreamCredential
    from sessionhistory_server.rpc.streaming.waits import StreamRules

R = TypeVar("R")
T = TypeVar("T")


class Reader(Generic[R]):
    """The messages of one stream.

    ``first`` is the first message; ``None`` if the stream is empty or not begun.
    """

    def __init__(
        self,
        context: Context,
        exchange: Exchange,
        parse: Callable[[bytes], R],
        rules: StreamRules,
        credential: StreamCredential,
    ) -> None:
        self.first: R | None = None
        self.size = 0
        """The bytes of the last message."""
        self.rules: Final = rules
        self._context = context
        self._exchange = exchange
        self._parse = parse
        self._waits = rules.reads
        self._credential = credential
        named = seconds_left(context) is not None
        self._idle_seconds = None if named else rules.idle_seconds
        self._read_seconds: float | None = rules.default_deadline_seconds  # for the first message
        self._deadline_seconds = None if named else rules.default_deadline_seconds

    async def begin(self) -> None:
        """Read the first message. It raises the same errors as ``read``."""
        self.first = await self.read()

    async def read(self) -> R | None:
        """Return the next message; ``None`` if the caller has ended the stream.

        Raises:
            MalformedRequestError: the message is not valid, or too large.
            DeadlineExceededError: the caller has been silent for too long.
            UnavailableError: the server is stopping.
            UnauthenticatedError: the caller's credential was revoked or has expired.
        """
        try:
            data = await self._credential.during(
                self._waits.wait(self._exchange.next_request(), self._read_seconds)
            )
        except TimeoutError as error:
            if self._waits.are_ended:
                raise server_stopping() from error
            raise DeadlineExceededError(f"the stream was silent for {self._read_seconds} seconds") from error
        self._read_seconds = self._idle_seconds
        return await self._parsed(data)

    async def _parsed(self, data: Any) -> R | None:  # noqa: ANN401 - bytes or gRPC's EOF
        if data is not grpc.aio.EOF:
            self.size = len(data)
            return self._parse(data)
        await asyncio.sleep(0)  # the end of the call also ends its stream: the cancellation arrives here
        return None

    async def next(self) -> R | None:
        """Return the next message, or ``None`` at the end, without a limit: the stream ends the wait itself.

        Raises:
            MalformedRequestError: the message is not valid, or too large.
        """
        return await self._parsed(await self._exchange.next_request(more_follow=True))

    async def while_valid(self, work: Awaitable[T]) -> T:
        """Return the result of work of a stream whose messages ``next`` reads.

        Raises:
            UnauthenticatedError: the caller's credential was revoked or has expired.
        """
        return await self._credential.during(work)

    async def accept(self) -> None:
        """Accept the stream: send the initial metadata, so that the caller continues. The turn ends here."""
        call_context.current().end_turn()
        with suppress(grpc.aio.InternalError):  # the call has ended, which the next read finds
            await self._context.send_initial_metadata(self._context.trailing_metadata())

    async def within(self, work: Awaitable[T]) -> T:
        """Return the result of work for the caller, under its deadline or the default one.

        Raises:
            DeadlineExceededError: it took too long.
        """
        return await within(self._deadline_seconds, work)
