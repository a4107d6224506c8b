"""The loss of a node, for calls, health and the log."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import psycopg
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2

import sessionhistory_migrations as migrations
from sessionhistory.v1 import message_pb2, session_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.store.postgres import node_watch, role_settings
from sessionhistory_server.store.session_ref import SessionRef
from support.callers import caller
from support.databases import execute
from support.errors import failure_of
from support.proxy import Proxy
from support.service import NOT_SERVING, PATIENCE_SECONDS, SERVING, Service, default_settings
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractContextManager

    from sessionhistory_server.store.postgres.connection import Connection
    from support.citus import CitusDatabases

    Serve = Callable[..., Awaitable[Service]]

_GONE = "UNAVAILABLE DATABASE_UNAVAILABLE"
_NAMES = ("", "sessionhistory.v1.SessionHistoryService")

# More than the connections of the pool.
_MANY = 12

_PORT = """
select nodeport from pg_dist_placement join pg_dist_node using (groupid)
where shardid = get_shard_id_for_distribution_column('sessions', '{}'::uuid)
"""


class Worker(NamedTuple):
    """A worker behind a proxy, with some sessions whose rows it has."""

    proxy: Proxy
    url: str
    """The URL of the test's database on the worker, past the proxy."""
    sessions: list[str]


class Cluster(NamedTuple):
    """A service on a distributed database, and the workers of the database."""

    service: Service
    url: str
    workers: list[Worker]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probe the nodes often, also while all of them answer."""
    monkeypatch.setattr(node_watch, "_INTERVAL_SECONDS", 0.5)


@pytest_asyncio.fixture
async def behind(cluster: CitusDatabases, postgres_url: str) -> AsyncIterator[Cluster]:
    """A service on a database whose workers are behind proxies, with some sessions of a message each."""
    async with AsyncExitStack() as stack:
        directly = cluster.urls(postgres_url)[1:]
        proxies = [await stack.enter_async_context(Proxy.running(url)) for url in directly]
        ports = [proxy.port for proxy in proxies]
        url = await _made(stack, cluster.distributed(ports))
        for proxy in proxies:
            stack.callback(proxy.heal)
        assert await role_settings.store(url, url) == []
        placed = await asyncio.to_thread(_place, url, ports)
        service = await stack.enter_async_context(Service.running(default_settings(), url))
        await service.wait_until_serving()
        workers = [Worker(*each) for each in zip(proxies, cluster.urls(url)[1:], placed, strict=True)]
        for session_id in itertools.chain(*placed):
            await service.stub.AppendMessage(_append(session_id, "first"))
        yield Cluster(service, url, workers)


async def _made(stack: AsyncExitStack, database: AbstractContextManager[str]) -> str:
    """Make a database in a thread, because the proxies need the event loop."""
    url = await asyncio.to_thread(database.__enter__)
    stack.push_async_callback(asyncio.to_thread, database.__exit__, None, None, None)
    return url


def _place(url: str, ports: list[int]) -> list[list[str]]:
    """Return ids of sessions for each worker, whose ports these are."""
    found: dict[int, list[str]] = {port: [] for port in ports}
    for number in itertools.count():
        if all(len(ids) >= _MANY for ids in found.values()):
            return list(found.values())
        session_id = f"s{number}"
        ((port,),) = execute(url, _PORT.format(SessionRef.of(caller(), session_id).session_key))
        found[int(str(port))].append(session_id)
    raise AssertionError


def _append(session_id: str, message_id: str) -> pb.AppendMessageRequest:
    message = message_pb2.Message(message_id=message_id, role=message_pb2.ROLE_USER, content=message_id)
    return pb.AppendMessageRequest(
        session_id=session_id, message=message, new_session=session_pb2.SessionFields()
    )


async def _outcome(call: Awaitable[Any]) -> str:
    """Return a call's code and reason, or ``OK``; the call must not hang."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await call
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name} {failure_of(error).reason}"
    return "OK"


async def _outcomes(service: Service, worker: Worker, message_id: str) -> set[str]:
    """Return the outcomes of a read of and an append to each session of a worker, all at once."""
    reads = [service.stub.GetHistory(pb.GetHistoryRequest(session_id=one)) for one in worker.sessions]
    appends = [service.stub.AppendMessage(_append(one, message_id)) for one in worker.sessions]
    return set(await asyncio.gather(*map(_outcome, [*reads, *appends])))


async def _health(service: Service) -> list[int]:
    return [
        (await service.health.Check(health_pb2.HealthCheckRequest(service=name))).status for name in _NAMES
    ]


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines about the state of the database, from an empty one on."""
    return ["", *(text for text in caplog.messages if text.startswith("database: "))]


async def _until_all_works(behind: Cluster, caplog: pytest.LogCaptureFixture, message_id: str) -> None:
    """Wait until the log says that all is well, then use all sessions."""
    await until(lambda: _said(caplog)[-1].startswith("database: ready") and "(" not in _said(caplog)[-1])
    for worker in behind.workers:
        assert await _outcomes(behind.service, worker, message_id) == {"OK"}


async def test_the_loss_of_a_node_leaves_the_sessions_of_the_others(
    behind: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Only the calls for its sessions are UNAVAILABLE, health stays SERVING, and the log names the part."""
    caplog.set_level("INFO")
    lost, *others = behind.workers
    pool = behind.service.app._database.pool  # noqa: SLF001 - the same pool must serve to the end
    await lost.proxy.refuse()
    assert await _outcomes(behind.service, lost, "second") == {_GONE}
    for other in others:
        assert await _outcomes(behind.service, other, "second") == {"OK"}
    await until(lambda: "cannot be reached" in caplog.text)
    said = _said(caplog)[-1]
    assert f"127.0.0.1:{lost.proxy.port} does not answer" in said
    assert f"about {1 / len(behind.workers):.0%} of the sessions" in said
    assert await _health(behind.service) == [SERVING, SERVING]
    lost.proxy.heal()
    await _until_all_works(behind, caplog, "third")
    assert behind.service.app._database.pool is pool  # noqa: SLF001
    assert all(one != two for one, two in itertools.pairwise(_said(caplog)))


async def test_the_loss_of_all_nodes_is_that_of_the_database(
    behind: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Health is NOT_SERVING while no session can be reached, and SERVING again by itself."""
    caplog.set_level("INFO")
    for worker in behind.workers:
        await worker.proxy.refuse()
    await behind.service.wait_until_serving(NOT_SERVING)
    assert "(all sessions) cannot be reached" in _said(caplog)[-1]
    for worker in behind.workers:
        assert await _outcomes(behind.service, worker, "second") == {_GONE}
        worker.proxy.heal()
    await behind.service.wait_until_serving()
    await _until_all_works(behind, caplog, "third")


async def test_a_silent_node_does_not_keep_the_pool(
    behind: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls that wait for a silent node end, and calls for other sessions are served meanwhile."""
    caplog.set_level("INFO")
    silent, *others = behind.workers
    silent.proxy.stall()
    waiting = asyncio.create_task(_outcomes(behind.service, silent, "second"))
    await until(lambda: "cannot be reached" in caplog.text)
    assert _GONE in await waiting
    assert await behind.service.app._database.read(_patience) == "500ms"  # noqa: SLF001 - no answer shows it
    for other in others:
        await until(lambda other=other: _all_served(behind.service, other))
    assert await _health(behind.service) == [SERVING, SERVING]
    silent.proxy.heal()
    await _until_all_works(behind, caplog, "third")


async def _patience(connection: Connection) -> str:
    """Return how long a call waits for a new connection to a node."""
    ((shown,),) = await connection.fetch("select current_setting('citus.node_connection_timeout')", {})
    return str(shown)


async def _all_served(service: Service, worker: Worker) -> bool:
    return await _outcomes(service, worker, "second") == {"OK"}


async def test_acknowledged_messages_survive_cuts_once(behind: Cluster) -> None:
    """Writers that retry with the same ids over cuts of either node store each message once, in order."""
    enough = asyncio.Event()
    sessions = [worker.sessions[0] for worker in behind.workers] * 2
    stored: list[str] = []
    outcomes: set[str] = set()

    async def write(writer: int, session_id: str) -> None:
        for number in itertools.count():
            request = _append(session_id, f"{writer}-{number}")
            outcome = ""
            while outcome != "OK":
                outcome = await _outcome(behind.service.stub.AppendMessage(request))
                outcomes.add(outcome)
            stored.append(f"{session_id} {writer}-{number}")
            if enough.is_set():
                return

    writers = [asyncio.create_task(write(*each)) for each in enumerate(sessions)]
    for round_ in range(20):
        before = len(stored)
        await until(lambda before=before: len(stored) > before + 20)
        await behind.workers[round_ % len(behind.workers)].proxy.cut()
    enough.set()
    await asyncio.gather(*writers)
    found = await asyncio.to_thread(
        execute,
        behind.url,
        "select s.session_id || ' ' || message_id from messages"
        " join sessions s using (session_key) where message_id <> 'first' order by s.session_key, sequence",
    )
    assert outcomes == {"OK", _GONE}
    kept = [str(row[0]) for row in found]
    assert sorted(kept) == sorted(stored)


async def test_a_node_that_takes_no_writes_refuses_only_its_own(
    behind: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Writes to its sessions are refused and its reads are served; the state of the database is the same."""
    caplog.set_level("INFO")
    full, *others = behind.workers
    await _set_read_only(full, "on")
    append = behind.service.stub.AppendMessage
    refused = await asyncio.gather(*[_outcome(append(_append(one, "second"))) for one in full.sessions])
    assert set(refused) == {"UNAVAILABLE DATABASE_READ_ONLY"}
    read = pb.GetHistoryRequest(session_id=full.sessions[0])
    assert await _outcome(behind.service.stub.GetHistory(read)) == "OK"
    await until(lambda: "takes no writes" in _said(caplog)[-1])
    assert await _health(behind.service) == [SERVING, SERVING]
    for other in others:
        assert await _outcomes(behind.service, other, "second") == {"OK"}
    await _set_read_only(full, "off")
    await _until_all_works(behind, caplog, "third")
    assert sum("refuses writes" in text for text in caplog.messages) == 1


async def _set_read_only(worker: Worker, value: str) -> None:
    """Let the sessions of a worker begin as read-only ones, or no longer, and end those that have begun."""
    name = psycopg.conninfo.conninfo_to_dict(worker.url)["dbname"]
    change = f'alter database "{name}" set default_transaction_read_only = {value}'
    local = "set citus.enable_ddl_propagation = off; set transaction_read_only = off; "
    await asyncio.to_thread(execute, worker.url, local + change)
    await worker.proxy.cut()


async def test_missing_settings_of_a_node_are_said(behind: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """A node on which the role lacks a setting is a warning with the remedy, until it has the setting."""
    caplog.set_level("INFO")
    role = (await asyncio.to_thread(execute, behind.url, "select current_user"))[0][0]
    name = psycopg.conninfo.conninfo_to_dict(behind.url)["dbname"]
    change = f'alter role "{role}" in database "{name}" '
    await asyncio.to_thread(execute, behind.url, change + "reset jit")
    await until(lambda: "lacks settings such as jit: run `session-history migrate`" in _said(caplog)[-1])
    assert await _health(behind.service) == [SERVING, SERVING]
    await asyncio.to_thread(execute, behind.url, change + "set jit = off")
    await _until_all_works(behind, caplog, "second")


async def test_a_server_notices_that_its_sessions_are_distributed(
    serve: Serve, empty_database_url: str
) -> None:
    """After the tables have been distributed, all connections take the statements for that, soon."""
    migrations.upgrade(empty_database_url)
    service = await serve(empty_database_url)
    sessions = [f"s{number}" for number in range(_MANY)]
    await asyncio.gather(*[service.stub.AppendMessage(_append(one, "first")) for one in sessions])
    numbers = itertools.count()

    async def works() -> bool:
        number = next(numbers)
        appends = [service.stub.AppendMessage(_append(one, f"m{number}")) for one in sessions]
        outcomes = set(await asyncio.gather(*map(_outcome, appends)))
        assert {outcome.partition(" ")[0] for outcome in outcomes} <= {"OK", "UNAVAILABLE"}
        return outcomes == {"OK"}

    await asyncio.to_thread(migrations.upgrade, empty_database_url, distribute=True)
    pool = service.app._database.pool  # noqa: SLF001 - no answer shows which statements a connection uses
    assert pool
    await until(lambda: all(one.is_distributed for one in pool.known if not one.closed))
    await until(works)
    assert await works()
