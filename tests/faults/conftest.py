"""Servers in processes of their own, each on a Postgres of its test, which faults may damage."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import figures
import leaks
import pytest
from cluster import Cluster, folder

from support.processes import Server
from support.proxy import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def pristine() -> Iterator[Cluster]:
    """A stopped cluster with the service's schema, of which the others are copies."""
    with folder() as made:
        cluster = Cluster(made)
        try:
            cluster.create()
        finally:
            cluster.stop()
        yield cluster


@pytest.fixture
def new_cluster() -> Iterator[Callable[..., Cluster]]:
    """Makes clusters without data; the fixture stops and removes all of them."""
    with ExitStack() as stack:

        def make(**settings: str) -> Cluster:
            cluster = Cluster(stack.enter_context(folder()), **settings)
            stack.callback(cluster.stop)
            return cluster

        yield make


@pytest.fixture
def cluster(new_cluster: Callable[..., Cluster], pristine: Cluster) -> Cluster:
    """A running Postgres for one test, with the service's schema and no data."""
    made = new_cluster()
    made.copy(pristine)
    made.start()
    return made


@pytest.fixture
def start(new_cluster: Callable[..., Cluster]) -> Iterator[Callable[..., Server]]:  # noqa: ARG001 - to outlive it
    """Starts `session-history serve`. Servers that still run after the test must end cleanly on SIGTERM.

    They are stopped before Postgres is.
    """
    with ExitStack() as stack:

        def begin(*arguments: str | Path, **terms: Any) -> Server:
            server = Server(*arguments, metrics_port=free_port(), **terms)
            stack.callback(server.clean)
            stack.callback(leaks.ends_in_order, server)
            return server

        yield begin


@pytest.fixture
def record(request: pytest.FixtureRequest, long_faults: bool) -> Callable[..., None]:  # noqa: FBT001 - a fixture
    """Records a scenario's figures: prints them always, writes docs/faults.json in the long form."""

    def keep(scenario: str, **values: Any) -> None:
        print(f"\n{scenario}: {values}")  # noqa: T201 - the report of a run
        if long_faults:
            figures.keep(scenario, request.node.nodeid.partition("[")[0], values)

    return keep
