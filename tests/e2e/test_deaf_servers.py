"""Servers that run but do not answer are detected, and replaced or ended."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from workers_support import deaths_of, is_running, pids_of

from sessionhistory.v1 import message_pb2, session_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from support import http2
from support.processes import run
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.processes import Server

    Start = Callable[..., Server]

_NOT_UTF_8 = b"/sessionhistory.v1.SessionHistoryService/\xff\xfe"
_CHECK = b"/grpc.health.v1.Health/Check"
_LONE_SERVER = Path(__file__).with_name("lone_server.py")


def _append() -> pb.AppendMessageRequest:
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content="hello")
    return pb.AppendMessageRequest(session_id="s", message=message, new_session=session_pb2.SessionFields())


def _stores(stub: Any) -> bool:
    """Return whether an append succeeds; a new worker has no connection to the database at first."""
    try:
        stub.AppendMessage(_append(), timeout=10)
    except grpc.RpcError:
        return False
    return True


def _request(address: str, path: bytes, *headers: tuple[bytes, bytes], authority: bytes = b"a") -> None:
    """Send a request; read until it is answered or refused, or the connection ends."""
    with suppress(ConnectionError), http2.Connection.to(address) as connection:
        connection.request(1, path, *headers, authority=authority)
        connection.message(1, b"")
        for frame in connection.frames():
            ended = frame.kind == http2.HEADERS and frame.flags & http2.END_STREAM
            if ended or frame.kind in {http2.RST_STREAM, http2.GOAWAY}:
                return


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_that_ends_the_server_of_a_worker(start: Start, database_url: str, workers: str) -> None:
    """A bad path ends its worker, which is replaced; one bad path a worker does not end the service."""
    server = start("--workers", workers, "--database-url", database_url)
    stub = server.stub()
    before = pids_of(server)
    while not set(before).isdisjoint(pids_of(server)):
        deaths = len(deaths_of(server))
        _request(server.address(), _NOT_UTF_8)
        eventually(lambda: len(deaths_of(server)) > deaths and len(pids_of(server)) == int(workers))  # noqa: B023
    assert "the gRPC server has ended by itself" in server.log
    eventually(lambda: _stores(stub))
    assert run("health", "--server", server.address()).stdout == "SERVING\n"
    assert server.process.poll() is None


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_worker_that_is_suspended(start: Start, database_url: str, workers: str) -> None:
    """A worker that runs but does not answer the supervisor is killed and replaced."""
    server = start("--workers", workers, "--database-url", database_url)
    stub = server.stub()
    victim = pids_of(server)[0]
    os.kill(victim, signal.SIGSTOP)
    eventually(lambda: not is_running(victim) and len(pids_of(server)) == int(workers), patience_seconds=60)
    server.wait_for("did not answer within 10 seconds: killing it")
    server.wait_for(" died: another follows")
    (death,) = deaths_of(server)
    assert (death["pid"], death["cause"]) == (victim, "SIGKILL")
    eventually(lambda: _stores(stub))


def test_a_worker_that_does_not_stop(start: Start, database_url: str) -> None:
    """A worker that does not stop is killed after the drain, the grace and some seconds."""
    server = start("--workers", "2", "--grace-seconds", "0", "--database-url", database_url)
    server.stub()
    victim = pids_of(server)[0]
    os.kill(victim, signal.SIGSTOP)
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    assert "did not end within 10 seconds: killing it" in server.log
    assert not is_running(victim)


def test_hostile_bytes(start: Start, database_url: str) -> None:
    """After bad bytes on the connection the log has only JSON lines, and the next call is answered."""
    server = start("--workers", "1", "--database-url", database_url)
    stub, address = server.stub(), server.address()
    for path in (b"", b"x", b"/", b"/a\0b", b"/" + b"a" * 15_000):
        _request(address, path)
    for authority in (b"", b"\xff\xfe", b"[::", b"a" * 15_000):
        _request(address, _CHECK, authority=authority)
    for header in (
        (b"x-request-id", b"\xff\xfe"),
        (b"x\xff", b"a"),
        (b"UPPER", b"a"),
        (b"x-bin", b"!!!"),
        (b"grpc-timeout", b"zz"),
        (b"grpc-encoding", b"zz"),
    ):
        _request(address, _CHECK, header)
    # The server may close these connections before it has read everything.
    with suppress(ConnectionError), http2.Connection.to(address) as connection:
        connection.send(http2.HEADERS, http2.END_HEADERS, 1, b"\xff" * 100)
        list(connection.frames())
    with suppress(ConnectionError), http2.Connection.to(address) as connection:
        connection.send_bytes(b"\xff" * 10_000)
        list(connection.frames())
    stub.AppendMessage(_append())
    assert server.events
    _request(address, _NOT_UTF_8)
    server.wait_for(" died: another follows")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert all(event["timestamp"] for event in server.events)


def test_a_lone_server_that_ends(start: Start, database_url: str) -> None:
    """Without workers the process ends with exit code 1, so that its service manager restarts it."""
    server = start(database_url, command=(sys.executable, _LONE_SERVER))
    server.stub().AppendMessage(_append())
    _request(server.address(), _NOT_UTF_8)
    assert server.wait() == 1
    assert "the gRPC server has ended by itself" in server.log


@pytest.mark.parametrize("hangs", [False, True])
def test_a_lone_server_stops(start: Start, database_url: str, *, hangs: bool) -> None:
    """A stop ends even if the server hangs."""
    server = start(database_url, *(["--stop-hangs"] if hangs else []), command=(sys.executable, _LONE_SERVER))
    server.stub()
    server.signal(signal.SIGTERM)
    assert server.wait() == (1 if hangs else 0)
    assert ("did not end within 0.1 seconds: ending it" in server.log) == hangs
