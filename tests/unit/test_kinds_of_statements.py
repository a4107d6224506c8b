"""A test that tries the statements for distributed tables does not change the services of other tests."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from sessionhistory_server.store.postgres import citus as recognition
from support import citus


def connected_to(name: str) -> Any:
    """Return a connection to a database, of which only the name is asked."""
    return SimpleNamespace(info=SimpleNamespace(dbname=name))


@pytest.mark.skipif(citus.TEST_DISTRIBUTED_VARIABLE in os.environ, reason="all databases are distributed")
async def test_the_database_of_a_service_of_several_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service may open a connection at any time, also during such a test."""
    with citus.ordinary("dbname=lasting"):
        citus.take_for_distributed(monkeypatch)
        assert not await recognition.is_distributed(connected_to("lasting"))
        assert await recognition.is_distributed(connected_to("of a test"))
