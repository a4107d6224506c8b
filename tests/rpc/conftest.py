"""What the tests of the RPCs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from support.databases import database
from support.service import Service, default_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="session")
async def shared(postgres_url: str, template: str) -> AsyncIterator[Service]:
    """One service for the long tables of tests that only touch sessions with ids of their own."""
    with database(postgres_url, template) as (_, url):
        async with Service.running(default_settings(), url) as service:
            await service.wait_until_serving()
            yield service
