"""Run the server for the tests, on a Postgres that is removed at the end. This module is a script.

The script writes its addresses to stdout, and then reads requests from stdin. An answer is a JSON object on a
line, a request is a word on a line: ``empty`` empties the server and gets an answer, ``end`` ends the script.
The end of stdin also ends it, so that it does not outlive a parent that is killed.
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
from sessionhistory._transport.targets import NO_PROXY
from sessionhistory_server import embedded
from sessionhistory_server.app import App
from sessionhistory_server.config import Address, Settings
from sessionhistory_server.observability import logs
from sessionhistory_server.store.schema import metadata

_PATIENCE_SECONDS: Final = 10

_SETTINGS: Final = Settings(listen=Address("127.0.0.1", 0), metrics_listen=None, grace_seconds=1)

# The stored data need not survive a power cut.
_CONNECTION_OPTIONS: Final = f"-c synchronous_commit=off -c lock_timeout={_PATIENCE_SECONDS}s"

# A transaction that writes to any table also writes to this one. The lock does not block readers.
_LOCK: Final = "lock table sessions in exclusive mode"
_DELETE: Final = [f"delete from {name}" for name in metadata.tables]  # noqa: S608 - the names are constants


async def _serve(url: str) -> None:
    requests = await _standard_input()
    async with AsyncExitStack() as stack:
        conninfo = make_conninfo(url, options=_CONNECTION_OPTIONS)
        app = App(_SETTINGS, conninfo)
        await app.start()
        stack.push_async_callback(app.stop)
        target = f"127.0.0.1:{app.port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(target, [NO_PROXY]))
        health: Any = health_pb2_grpc.HealthStub(channel)
        await _until_serving(health)
        connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
        await stack.enter_async_context(connection)
        _write(target=target, database_url=url)
        async for request in requests:
            if request == b"end\n":
                return
            _write(**await _empty(app, health, connection))


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
    """Delete all rows, the only data of the service; return an error if that is not possible."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await _until_idle(app, health)
        async with connection.transaction():
            for statement in (_LOCK, *_DELETE):
                await connection.execute(statement)
    except TimeoutError:
        return {"error": f"calls of an earlier test are still under way after {_PATIENCE_SECONDS} seconds"}
    except psycopg.errors.LockNotAvailable:
        return {"error": f"a transaction on its database is still open after {_PATIENCE_SECONDS} seconds"}
    return {}


async def _until_idle(app: App, health: Any) -> None:  # noqa: ANN401 - the generated stub has no types
    while True:
        # When the server answers this call, all calls that it received earlier have begun.
        await health.Check(health_pb2.HealthCheckRequest())
        if app.is_idle:
            return


def _write(**answer: str) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - pytest reads it


def main() -> None:
    """Serve until a request or the end of stdin ends the script. After a failure its files stay."""
    logs.configure(level="warning", log_format="json")
    folder = Path(tempfile.mkdtemp(prefix="session-history-tests-"))
    try:
        with embedded.running(folder) as url:
            migrations.upgrade(url)
            with suppress(BrokenPipeError):  # pytest has ended and reads no answer
                asyncio.run(_serve(url))
    except embedded.EmbeddedPostgresError as error:
        sys.exit(str(error))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
