"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    """A way to a database of the test's own that the test can block."""
    async with Proxy.running(database_url) as running:
        yield running
