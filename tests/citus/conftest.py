"""Fixtures for the tests that need a cluster of Citus; without one, the tests are skipped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import citus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.citus import CitusDatabases

# The tests of the store have the list of all statements.
sys.path.append(str(Path(__file__).parents[1] / "store"))


def pytest_runtest_setup() -> None:
    """Skip all tests of this folder unless the tests run on Citus."""
    if not citus.coordinator_url():
        pytest.skip(f"{citus.TEST_DATABASE_VARIABLE} names no coordinator of Citus")


@pytest.fixture(scope="session")
def cluster(databases: CitusDatabases) -> CitusDatabases:
    """The cluster: its nodes, and its databases, whose workers may be reached through other ports."""
    return databases


@pytest.fixture
def new_database_url(cluster: CitusDatabases) -> Iterator[str]:
    """A database with distributed tables for one test, with no statistics and no plan of an earlier test."""
    with cluster.distributed() as url:
        yield url
