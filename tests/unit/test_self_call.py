"""A server shows that it takes calls by calling itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio

from sessionhistory_server.rpc.self_call import SelfCall
from support.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from support.proxy_trap import ProxyTrap


async def test_a_busy_server_is_not_deaf() -> None:
    """A server that takes other calls counts as alive, even if it does not answer its own call in time."""
    taken = iter((False, True))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await SelfCall().until_answered(lambda: next(taken))
    assert not list(taken)


async def test_a_server_that_has_a_proxy(proxy_trap: ProxyTrap) -> None:
    """A server calls itself directly, even if the environment names a proxy."""
    call, server = SelfCall(), grpc.aio.server()
    server.add_insecure_port(call.address)
    await server.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await call.until_answered(lambda: False)
    await server.stop(None)
    assert not proxy_trap.was_asked
