"""Servers as processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.processes import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts servers; in the end all are gone."""
    servers: list[Server] = []

    def start_one(*arguments: str | Path, **variables: str) -> Server:
        servers.append(Server(*arguments, **variables))
        return servers[-1]

    yield start_one
    for server in servers:
        server.clean()
