"""Shared fixtures of tests that run servers as processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.processes import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts servers, and ends them after the test."""
    servers: list[Server] = []

    def start_one(*arguments: str | Path, **options: Any) -> Server:
        servers.append(Server(*arguments, **options))
        return servers[-1]

    yield start_one
    for server in servers:
        server.clean()
