"""Fixtures: services with keys and without, with both kinds of statements, and the parties that call them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from party import Party
from two_parties import KINDS
from watching import watching

from support import citus
from support.service import Service, default_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from watching import Watcher

    from support.databases import Databases

    Parties = Callable[[str], Awaitable[tuple[Party, Party]]]


@pytest_asyncio.fixture(scope="session", params=citus.kinds_of_statements())
async def parties(
    request: pytest.FixtureRequest, databases: Databases, way: Callable[[str], str]
) -> AsyncIterator[Parties]:
    """Finds the owner and the stranger of a kind, on a service with one kind of statements."""
    async with AsyncExitStack() as stack:
        services: list[tuple[Service, str]] = []
        for auth in ((), ("keys",)):
            url = stack.enter_context(databases.migrated())
            with pytest.MonkeyPatch.context() as patch:
                if request.param == citus.DISTRIBUTED:
                    citus.take_for_distributed(patch)
                else:
                    stack.enter_context(citus.ordinary(url))
                settings = default_settings(auth=auth, limits=bool(auth))
                running = Service.running(settings, way(url))
                service = await stack.enter_async_context(running)
                await service.wait_until_serving()
            services.append((service, url))
        made: dict[str, tuple[Party, Party]] = {}

        async def find(kind: str) -> tuple[Party, Party]:
            if kind not in made:
                made[kind] = await _make(kind, *services)
            return made[kind]

        yield find


async def _make(
    kind: str, without_keys: tuple[Service, str], with_keys: tuple[Service, str]
) -> tuple[Party, Party]:
    owner, stranger, has_keys = KINDS[kind]
    if has_keys:
        return await Party.holding(*with_keys, **owner), await Party.holding(*with_keys, **stranger)
    return Party(*without_keys, **owner), Party(*without_keys, **stranger)


@pytest.fixture(autouse=True)
def distributed_statements(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test with the statements for distributed tables takes its database for a distributed one."""
    if "parties" in request.fixturenames and request.node.callspec.params["parties"] == citus.DISTRIBUTED:
        citus.take_for_distributed(monkeypatch)


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watcher]:
    """Watches the calls of a test."""
    with watching(monkeypatch) as running:
        yield running
