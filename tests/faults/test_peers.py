"""Peers that do not read or do not finish: the server bounds their memory and serves other callers.

The server is a real process, and the system reports its resident memory.
"""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import floods
import pytest
from attacked import BOUND_MIB, LARGE, MAX_MEMORY_MIB, MIB, SERVICE, SETTINGS, Attacked
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from support.errors import fails
from support.hostile import Peer, message
from support.service import connect_thread
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.processes import Server

# In addition to the process's memory before. Above 64 MiB the server looks for memory to free.
GIVEN_BACK_MIB = 80
PATIENCE_SECONDS = 30


@pytest.fixture
def attacked(database_url: str, start: Callable[..., Server]) -> Attacked:
    """A server of one worker that gives its peers two seconds."""
    return Attacked(start("--database-url", database_url, *SETTINGS))


@pytest.mark.parametrize(("peers", "calls"), [(120, 1), (1, 120), (8, 15)])
def test_answers_that_nobody_reads(attacked: Attacked, peers: int, calls: int) -> None:
    """Unread answers are bounded, on one connection and on many; their peers are cut off.

    A good caller is served.
    """
    with ExitStack() as stack, attacked.watched():
        hostile = [stack.enter_context(Peer(attacked.address)) for _ in range(peers)]
        for peer in hostile:
            with suppress(OSError):
                for _ in range(calls):
                    peer.call(f"{SERVICE}GetHistory", LARGE.SerializeToString())
        eventually(lambda: attacked.serves() and all(peer.is_done_with for peer in hostile))
    assert attacked.peak_mib < BOUND_MIB
    eventually(lambda: attacked.memory_mib < MAX_MEMORY_MIB)
    assert "connection ended" in attacked.server.log


def test_a_stream_of_calls_that_nobody_reads(attacked: Attacked) -> None:
    """A CallStream whose outcomes are not read does not compute all its windows in advance."""
    calls = [{"number": number, "get_history": LARGE} for number in range(256)]
    request = pb.CallStreamRequest(header={"unordered": True}, calls=calls)
    with ExitStack() as stack, attacked.watched():
        hostile = [stack.enter_context(Peer(attacked.address)) for _ in range(2)]
        for peer in hostile:
            peer.call(f"{SERVICE}CallStream", request.SerializeToString())
            peer.call(f"{SERVICE}CallStream", request.SerializeToString())
        eventually(lambda: attacked.serves() and all(peer.is_done_with for peer in hostile))
    assert attacked.peak_mib < BOUND_MIB


def test_requests_that_never_end(attacked: Attacked) -> None:
    """Unfinished requests use bounded memory, which is freed."""
    unfinished = message(bytes(3 * MIB))[:-1]

    def send(peer: Peer) -> None:
        with suppress(OSError):
            for _ in range(60):
                peer.send(peer.begin(f"{SERVICE}AppendMessages"), unfinished)

    attacked.attack_with(send)
    assert attacked.peak_mib < BOUND_MIB


def test_pieces_that_never_end(attacked: Attacked) -> None:
    """A stream may be silent for long, but loses its memory when memory is short."""
    header = stream_pb.AppendMessageStreamRequest(header={"session_id": "small", "message": {}})
    unfinished = message(bytes(3 * MIB))[:-1]

    def send(peer: Peer) -> None:
        with suppress(OSError):
            for _ in range(60):
                stream = peer.begin(f"{SERVICE}AppendMessageStream")
                peer.send(stream, message(header.SerializeToString()) + unfinished)

    attacked.attack_with(send)
    assert attacked.peak_mib < BOUND_MIB
    assert "connection ended" in attacked.server.log


def test_header_bombs(database_url: str, start: Callable[..., Server]) -> None:
    """The memory of header bombs is freed even if memory is not short; a good caller is answered."""
    attacked = Attacked(start("--database-url", database_url, "--workers", "1"))
    before = attacked.memory_mib
    send, _ = floods.KINDS["header bombs"]
    with ThreadPoolExecutor(4) as senders:
        for _ in range(4):
            list(senders.map(send, [attacked.address] * 200))
            assert attacked.serves()
    eventually(lambda: attacked.memory_mib < before + GIVEN_BACK_MIB)


def test_headers_alone_are_answered(attacked: Attacked) -> None:
    """A call of headers only is ended with a reason, also for streams."""
    methods = ("GetHistory", "AppendMessage", "CallStream", "AppendMessageStream")
    paths = [f"{SERVICE}{name}" for name in methods]
    with Peer(attacked.address) as peer:
        for path in paths * 50:
            peer.begin(path)
        eventually(lambda: peer.is_done_with and attacked.serves())
        assert not peer.ended.is_set()
    silent = threading.Event()
    with connect_thread(attacked.address) as channel:
        call: Any = channel.stream_unary(f"{SERVICE}GetHistory")
        with fails("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED") as failure:
            call(iter(lambda: silent.wait(PATIENCE_SECONDS) and b"", b""))
        silent.set()
    assert failure.message == "the request did not arrive within 2.0 seconds"


def test_connections_that_say_nothing(attacked: Attacked) -> None:
    """Silent connections are closed, with and without a begun HTTP/2 handshake."""
    host, _, port = attacked.address.rpartition(":")
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS))
            for _ in range(2)
        ]
        silent[0].sendall(b"PRI * HTTP/2.0\r\n")
        for connection in silent:
            while connection.recv(4096):
                pass


def test_streams_that_are_meant_to_last(attacked: Attacked) -> None:
    """A streaming message and a health watch outlive a peer that does not read, and the default deadline."""
    go_on = threading.Event()

    def pieces() -> Iterator[stream_pb.AppendMessageStreamRequest]:
        yield stream_pb.AppendMessageStreamRequest(header={"session_id": "small", "message": {}})
        yield stream_pb.AppendMessageStreamRequest(delta={"text": "slow "})
        go_on.wait(PATIENCE_SECONDS)
        yield stream_pb.AppendMessageStreamRequest(delta={"text": "but sure"})
        yield stream_pb.AppendMessageStreamRequest(finish={})

    with connect_thread(attacked.address) as channel, Peer(attacked.address) as peer:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        storing = pb_grpc.SessionHistoryServiceStub(channel).AppendMessageStream.future(pieces())
        peer.call(f"{SERVICE}GetHistory", LARGE.SerializeToString())
        eventually(peer.ended.is_set)
        assert watch.is_active()
        go_on.set()
        assert storing.result(PATIENCE_SECONDS).message.content == "slow but sure"
        watch.cancel()
