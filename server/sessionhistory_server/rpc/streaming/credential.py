"""The credential of an open stream, which may expire or be revoked before the stream ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sessionhistory_server.credentials.verifier import Presented
    from sessionhistory_server.errors import UnauthenticatedError

T = TypeVar("T")


class StreamCredential:
    """The credential of a stream. ``rpc.authentication`` checks it every two seconds.

    Args:
        presented: The credential of the call; ``None``: the method or the server asks for none.
    """

    __slots__ = ("_refusal", "_timeout", "presented")

    def __init__(self, presented: Presented | None) -> None:
        self.presented = presented
        self._refusal: UnauthenticatedError | None = None
        self._timeout: asyncio.Timeout | None = None

    def refuse(self, refusal: UnauthenticatedError) -> None:
        """End the current wait of the stream, and each later one at once."""
        self._refusal = refusal
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(0)

    async def during(self, work: Awaitable[T]) -> T:
        """Return the result of a wait.

        Raises:
            UnauthenticatedError: the credential is refused by now.
        """
        if self.presented is None:
            return await work
        self._timeout = timeout = asyncio.timeout(None if self._refusal is None else 0)
        try:
            async with timeout:
                return await work
        except TimeoutError:
            if self._refusal is None or not timeout.expired():
                raise
            raise self._refusal from None
        finally:
            self._timeout = None
