"""Postgres lacks a resource: connections, an unlocked session, disk space, or the right to write."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import audit
import grpc
import leaks
import pytest
from cluster import small_disk
from grpc_health.v1 import health_pb2, health_pb2_grpc
from load import RETRIABLE

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.rpc.dispatch import SERVICE
from support.locks import locked_session
from support.processes import run
from support.service import NOT_SERVING, SERVING, connect_thread
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from cluster import Cluster

    from support.processes import Server

POOL_SIZE = 4
_READ = pb.GetHistoryRequest(session_id="s")


@pytest.fixture
def server(start: Callable[..., Server], cluster: Cluster) -> Server:
    """A server with one message in the session "s"."""
    server = start("--database-url", cluster.url, "--workers", "1", "--pool-size", str(POOL_SIZE))
    server.stub().AppendMessage(append("first", new_session={}), timeout=10)
    return server


def test_connections_taken_by_others(start: Callable[..., Server], cluster: Cluster) -> None:
    """A server that gets no connection says so, and serves when connections are free again."""
    with cluster.connections_taken():
        server = start("--database-url", cluster.url, "--workers", "1", "--pool-size", str(POOL_SIZE))
        server.wait_for("too many clients")
    assert server.stub().AppendMessage(append("first", new_session={}), timeout=10).last_sequence == 1
    leaks.none_since(leaks.held(server), server, cluster, pool_size=POOL_SIZE)


def test_a_locked_session_keeps_its_neighbours_not(server: Server, cluster: Cluster) -> None:
    """While 30 callers wait for one locked session, calls for another session are answered at once."""
    stub = server.stub()
    stub.AppendMessage(append("first", "neighbour", new_session={}), timeout=10)
    before = leaks.held(server)
    with locked_session(cluster.url, "s"):
        waiting = [stub.AppendMessage.future(append(f"w{number}"), timeout=8) for number in range(30)]
        eventually(
            lambda: cluster.execute(
                "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = 'history'"
            )
        )
        for number in range(5):
            begin = time.monotonic()
            stub.AppendMessage(append(f"n{number}", "neighbour"), timeout=5)
            assert time.monotonic() - begin < 2
        codes = {call.code() for call in waiting}
    assert codes <= RETRIABLE
    audit.consistent(cluster.url)
    leaks.none_since(before, server, cluster, pool_size=POOL_SIZE)


@contextmanager
def read_only(cluster: Cluster) -> Iterator[None]:
    """Let Postgres refuse writes, as managed services do when the storage is full."""
    cluster.alter("default_transaction_read_only", "on")
    yield
    cluster.alter("default_transaction_read_only", "off")


@contextmanager
def full(cluster: Cluster) -> Iterator[None]:
    """Fill the disk of the service's database; the write-ahead log has room elsewhere."""
    filler = cluster.folder / "disk" / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    yield
    filler.unlink()


@pytest.fixture
def small(cluster: Cluster) -> Iterator[Cluster]:
    """A Postgres that keeps the service's database on a small disk."""
    disk = cluster.folder / "disk"
    with small_disk(disk, 64):
        disk.joinpath("tables").mkdir(mode=0o700)
        cluster.account.adopt(disk / "tables")
        cluster.execute(
            f"create tablespace small location '{disk}/tables'", "alter database history set tablespace small"
        )
        yield cluster
        cluster.stop()


@pytest.mark.parametrize(
    ("place", "refuse", "sqlstate"),
    [("cluster", read_only, "25006"), ("small", full, "53100")],
    ids=["read-only", "full"],
)
def test_reads_go_on_while_writes_are_refused(
    request: pytest.FixtureRequest,
    start: Callable[..., Server],
    place: str,
    refuse: Callable[[Cluster], Any],
    sqlstate: str,
) -> None:
    """Reads are answered, log, health and `check` tell the state, and writes recover by themselves."""
    cluster = request.getfixturevalue(place)
    server = start("--database-url", cluster.url, "--workers", "1", "--pool-size", str(POOL_SIZE))
    stub = server.stub()
    stub.AppendMessage(append("first", new_session={}), timeout=10)
    before = leaks.held(server)
    with connect_thread(server.address()) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        with refuse(cluster):
            eventually(lambda: refused(stub))
            eventually(lambda: said(health) == (SERVING, NOT_SERVING))
            assert len(stub.GetHistory(_READ, timeout=5).history.messages) >= 1
            server.wait_for(sqlstate, patience_seconds=20)
            done = run("check", "--database-url", cluster.url)
            assert (done.returncode, "only reads are served" in done.stdout) == (1, True), done.stdout
        eventually(lambda: said(health) == (SERVING, SERVING))
    assert not refused(stub)
    assert run("check", "--database-url", cluster.url).returncode == 0
    audit.consistent(cluster.url)
    leaks.none_since(before, server, cluster, pool_size=POOL_SIZE)
    leaks.ends_in_order(server)


def said(health: health_pb2_grpc.HealthStub) -> tuple[int, int]:
    """Return the health of the server, and of the service."""
    whole, ours = (
        health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5).status
        for name in ("", SERVICE.full_name)
    )
    return whole, ours


def refused(stub: Any) -> bool:
    """Append a large message; return whether it was refused with a code that allows a retry.

    Any other refusal is an error.
    """
    try:
        stub.AppendMessage(append(f"m{time.monotonic_ns()}", content="x" * 900_000), timeout=5)
    except grpc.RpcError as error:
        code = error.code()
    else:
        return False
    assert code == grpc.StatusCode.UNAVAILABLE
    return True


def append(
    message_id: str, session_id: str = "s", *, content: str = "hi", **fields: Any
) -> pb.AppendMessageRequest:
    """Return a request to append a user's message."""
    message = {"message_id": message_id, "role": "ROLE_USER", "content": content}
    return pb.AppendMessageRequest(session_id=session_id, message=message, **fields)
