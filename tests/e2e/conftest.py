"""Shared fixtures of tests that run servers as processes."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any

import pytest

from sessionhistory_server.observability import logs
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


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The output of the server's logging at debug level."""
    stream = io.StringIO()
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        logs.configure(level="debug", log_format="json")
        yield stream
    root.handlers[:], level = before
    root.setLevel(level)
