"""Hostile requests cause no INTERNAL or UNKNOWN, memory is freed, and the next call is answered."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import floods
import grpc
import leaks
import mutations
import pytest
from load import summary

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.proxy import free_port
from support.service import connect_thread
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster import Cluster

    from support.processes import Server

SHORT_MESSAGES = 4_000
LONG_MESSAGES = 600_000
SHORT_CONNECTIONS = 4
LONG_CONNECTIONS = 400
"""The number of floods of each kind; one of each makes about 1,000 requests."""
SHORT_PATHS = 2
LONG_PATHS = 20
_STEPS = 10
_SENDERS = 2
_POOL_SIZE = 4
# The warm-up takes a minute in the long form, as long as a worker remembers a peer that is gone.
_WARM_STEPS = 2
# Fragmentation by the floods. For the 800,000 requests that follow it is 160 bytes each.
_GROWTH_BYTES_PER_WORKER = 64 << 20
_GOOD_CALL_SECONDS = 10


class Target:
    """A server of two workers, and its memory."""

    def __init__(self, start: Callable[..., Server], cluster: Cluster) -> None:
        self.refused = Counter[str]()
        """The good calls that failed, by code: gRPC refuses calls while too many wait for it."""
        self.address = f"127.0.0.1:{free_port()}"
        flags = ("--workers", "2", "--pool-size", str(_POOL_SIZE), "--listen", self.address)
        # The level `info` logs each refused call: a million lines.
        self.server = start("--database-url", cluster.url, *flags, "--log-level", "warning")
        eventually(self.answers)
        self.workers = leaks.workers(self.server)

    @property
    def resident_bytes(self) -> int:
        """The resident memory of all workers together."""
        return sum(map(leaks.resident_bytes, self.workers))

    def good_call(self) -> None:
        """Make a call on a connection of its own, like an ordinary caller."""
        message = {"message_id": "good", "role": "ROLE_USER", "content": "hello"}
        request = pb.AppendMessageRequest(session_id="good", message=message, new_session={})
        with connect_thread(self.address) as channel:
            call = channel.unary_unary("/sessionhistory.v1.SessionHistoryService/AppendMessage")
            call(request.SerializeToString(), timeout=_GOOD_CALL_SECONDS)

    def answers(self) -> bool:
        """Return whether a good call is answered."""
        try:
            self.good_call()
        except grpc.RpcError as error:
            self.refused[error.code().name] += 1
            return False
        return True


@pytest.fixture
def target(start: Callable[..., Server], cluster: Cluster) -> Target:
    """A server that answers."""
    return Target(start, cluster)


@pytest.mark.timeout(900)
async def test_nothing_hostile_matters(
    target: Target, cluster: Cluster, rounds: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    """After mutated messages for every method and floods of frames, workers and memory are the same."""
    messages = rounds(SHORT_MESSAGES, LONG_MESSAGES) // _STEPS
    connections = max(rounds(SHORT_CONNECTIONS, LONG_CONNECTIONS) // _STEPS, 1)
    sent, codes, begin = 0, Counter[str](), time.monotonic()
    with _senders() as send:
        held, warm = await asyncio.to_thread(leaks.held, target.server), 0
        target.refused.clear()
        for step in range(_STEPS):
            if step == _WARM_STEPS:
                warm = target.resident_bytes
            sent += await _step(target, send, messages, connections, codes)
            seconds = time.monotonic() - begin
            print(f"{step}: {sent:,} requests, {target.resident_bytes >> 20} MiB, {seconds:.0f} s")  # noqa: T201
    assert not {"INTERNAL", "UNKNOWN"} & {*codes, *target.refused}, (codes, target.refused, target.server.log)
    assert leaks.workers(target.server) == target.workers, target.server.log
    allowed = warm + _GROWTH_BYTES_PER_WORKER * len(target.workers)
    await asyncio.to_thread(eventually, lambda: target.resident_bytes < allowed)
    await asyncio.to_thread(leaks.none_since, held, target.server, cluster, pool_size=_POOL_SIZE)
    record(
        "hostile requests",
        requests=sent,
        mutated_messages=sum(codes.values()),
        seconds=round(time.monotonic() - begin),
        internal_or_unknown=0,
        good_calls_that_grpc_refused=target.refused.total(),
        mebibytes_after_warming_up=warm >> 20,
        mebibytes_in_the_end=target.resident_bytes >> 20,
    )


async def test_paths_that_are_not_utf8(
    target: Target, cluster: Cluster, rounds: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    """Each bad path ends a worker's server; the worker is replaced, and the next good call is answered."""
    held, seconds = await asyncio.to_thread(leaks.held, target.server), []
    for _ in range(rounds(SHORT_PATHS, LONG_PATHS)):
        before, begin = leaks.workers(target.server), time.monotonic()
        await asyncio.to_thread(floods.bad_path, target.address)
        await asyncio.to_thread(eventually, lambda: _is_replaced(target.server, before))  # noqa: B023
        await asyncio.to_thread(eventually, target.answers)
        seconds.append(time.monotonic() - begin)
    await asyncio.to_thread(leaks.none_since, held, target.server, cluster, pool_size=_POOL_SIZE)
    record("paths that are not UTF-8", rounds=len(seconds), **summary(seconds))


def _is_replaced(server: Server, before: list[int]) -> bool:
    now = leaks.workers(server)
    return len(now) == len(before) and set(now) != set(before)


@contextmanager
def _senders() -> Iterator[Any]:
    """Yield functions that send messages from other processes, and return the codes of each."""
    # A fork of this process would lack gRPC's threads.
    with ProcessPoolExecutor(_SENDERS, mp_context=get_context("spawn")) as processes:

        async def send(address: str, count: int) -> list[Counter[str]]:
            loop, share = asyncio.get_running_loop(), count // _SENDERS
            seeds = [time.monotonic_ns() + sender for sender in range(_SENDERS)]
            sending = [
                loop.run_in_executor(processes, mutations.send, address, share, seed) for seed in seeds
            ]
            return await asyncio.gather(*sending)

        yield send


async def _step(target: Target, send: Any, messages: int, connections: int, codes: Counter[str]) -> int:
    """Send messages and floods concurrently, with good calls in between; return the number of requests."""
    sending = asyncio.create_task(send(target.address, messages))
    sent = await asyncio.to_thread(_flood, target, connections)
    for found in await sending:
        codes += found
    await asyncio.to_thread(eventually, target.answers, patience_seconds=_GOOD_CALL_SECONDS)
    return sent + messages


def _flood(target: Target, connections: int) -> int:
    sent = 0
    for attack, every in floods.KINDS.values():
        sent += sum(attack(target.address) for _ in range(max(connections // every, 1)))
        eventually(target.answers, patience_seconds=_GOOD_CALL_SECONDS)
    return sent
