"""The server for the tests, on a Postgres of its own that is removed in the end. Run as a script.

It says in a line on stdout where it serves, and then reads requests from stdin, a line each: ``empty`` is
answered with a line, ``end`` ends it. So does the end of the input: it cannot outlive who started it,
even if that is killed. Answers are JSON objects.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import grpc.aio
import psycopg
from grpc_health.v1 import health_pb2, health_pb2_grpc
from psycopg.conninfo import make_conninfo

import sessionhistory_migrations as migrations
from sessionhistory_server import embedded, logs
from sessionhistory_server.app import App
from sessionhistory_server.config import Address, Settings
from sessionhistory_server.store.schema import metadata

_PATIENCE_SECONDS: Final = 10

_SETTINGS: Final = Settings(listen=Address("127.0.0.1", 0), metrics_listen=None, grace_seconds=1)

# What is stored need not survive a power cut.
_CONNECTION_OPTIONS: Final = f"-c synchronous_commit=off -c lock_timeout={_PATIENCE_SECONDS}s"

# Whoever writes to any table writes to this one too, in the same transaction. Readers are let be.
_LOCK: Final = "lock table sessions in exclusive mode"
_DELETE: Final = [f"delete from {name}" for name in metadata.tables]  # noqa: S608 - names of our own


async def _serve(url: str) -> None:
    requests = await _standard_input()
    async with AsyncExitStack() as stack:
        conninfo = make_conninfo(url, options=_CONNECTION_OPTIONS)
        app = App(_SETTINGS, conninfo)
        await app.start()
        stack.push_async_callback(app.stop)
        target = f"127.0.0.1:{app.port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(target))
        health: Any = health_pb2_grpc.HealthStub(channel)
        await _until_serving(health)
        connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
        await stack.enter_async_context(connection)
        _say(target=target, database_url=url)
        async for request in requests:
            if request == b"end\n":
                return
            _say(**await _empty(app, health, connection))


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def _until_serving(health: Any) -> None:  # noqa: ANN401 - the generated stub has no types
    watch = health.Watch(health_pb2.HealthCheckRequest())
    async for answer in watch:
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            break
    watch.cancel()


async def _empty(app: App, health: Any, connection: psycopg.AsyncConnection) -> dict[str, str]:  # noqa: ANN401 - the generated stub has no types
    """Delete all rows: the service keeps nothing anywhere else. Say what is in the way."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await _until_idle(app, health)
        async with connection.transaction():
            for statement in (_LOCK, *_DELETE):
                await connection.execute(statement)
    except TimeoutError:
        return {"error": f"calls of an earlier test are under way, after {_PATIENCE_SECONDS} seconds still"}
    except psycopg.errors.LockNotAvailable:
        return {"error": f"a transaction on its database is open, after {_PATIENCE_SECONDS} seconds still"}
    return {}


async def _until_idle(app: App, health: Any) -> None:  # noqa: ANN401 - the generated stub has no types
    while True:
        # When this call is answered, those that came before it have begun.
        await health.Check(health_pb2.HealthCheckRequest())
        if app.is_idle:
            return


def _say(**answer: str) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - the other side reads it


def main() -> None:
    """Serve until that is no longer wanted. If something fails, its files stay."""
    logs.configure(level="warning", log_format="json")
    folder = Path(tempfile.mkdtemp(prefix="session-history-tests-"))
    try:
        with embedded.running(folder) as url:
            migrations.upgrade(url)
            with suppress(BrokenPipeError):  # nobody reads the answer any more
                asyncio.run(_serve(url))
    except embedded.EmbeddedPostgresError as error:
        sys.exit(str(error))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
