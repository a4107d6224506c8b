"""Run the server for the tests, on a Postgres that is removed at the end. This module is a script.

The script writes its addresses to stdout, and then reads requests from stdin. An answer is a JSON object on a
line. A request is a line with a word, and its arguments as a JSON object:

- ``empty`` empties the server;
- ``guard`` starts a second server on the same data, which asks for keys, and gets its address;
- ``key`` creates a key of a tenant;
- ``end`` ends the script, without an answer.

The end of stdin also ends it, so that it does not outlive a parent that is killed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from datetime import datetime
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
from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.model.api_key import ApiKeyFields
from sessionhistory_server.model.caller import ADMIN, Caller
from sessionhistory_server.observability import logs
from sessionhistory_server.store.columns.times import micros
from sessionhistory_server.store.schema import metadata
from sessionhistory_server.usecases.api_keys import managing

_PATIENCE_SECONDS: Final = 10

_SETTINGS: Final = Settings(listen=Address("127.0.0.1", 0), metrics_listen=None, grace_seconds=1)

# A call that waits for another call's lock has no connection for a moment after the lock is free.
_IDLE_ANSWERS: Final = 2

# The stored data need not survive a power cut.
_CONNECTION_OPTIONS: Final = f"-c synchronous_commit=off -c lock_timeout={_PATIENCE_SECONDS}s"

# Keys are valid for the whole run, because a service may be configured once.
_KEPT: Final = {"api_keys", "credential_state", "signing_keys"}

# A transaction that writes to any other table also writes to this one. The lock does not block readers.
_LOCK: Final = "lock table sessions in exclusive mode"
_DELETE: Final = [f"delete from {name}" for name in metadata.tables if name not in _KEPT]  # noqa: S608 - the names are constants


class _Server:
    """A server on the Postgres."""

    def __init__(self, app: App, health: Any) -> None:  # noqa: ANN401 - the generated stub has no types
        self._health = health
        self.app = app
        self.target = f"127.0.0.1:{app.port}"

    async def until_serving(self) -> None:
        watch = self._health.Watch(health_pb2.HealthCheckRequest())
        async for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                break
        watch.cancel()

    async def until_idle(self) -> None:
        """Wait until the calls that the server has received are finished."""
        answers = 0
        while answers < _IDLE_ANSWERS:
            # When the server answers this call, all calls that it received earlier have begun.
            await self._health.Check(health_pb2.HealthCheckRequest())
            answers = answers + 1 if self.app.is_idle else 0


class _Requests:
    """The requests of pytest, each a method with its name."""

    def __init__(self, stack: AsyncExitStack, url: str) -> None:
        self._stack = stack
        self._url = url
        self._conninfo = make_conninfo(url, options=_CONNECTION_OPTIONS)
        self._servers: list[_Server] = []

    async def begin(self) -> dict[str, str]:
        """Start the server that asks for no key."""
        server = await self._start(_SETTINGS)
        connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        self._connection = await self._stack.enter_async_context(connection)
        return {"target": server.target, "database_url": self._url}

    async def guard(self) -> dict[str, str]:
        """Start the server that asks for keys."""
        server = await self._start(dataclasses.replace(_SETTINGS, auth=("keys",)))
        return {"target": server.target}

    async def key(self, tenant: str, expire_time: str | None, **fields: Any) -> dict[str, str]:  # noqa: ANN401 - of a key
        """Create a key, which the server accepts at once."""
        owner = Caller(tenant, None, None, frozenset({ADMIN}), "", must_name_user=False)
        end = micros(datetime.fromisoformat(expire_time)) if expire_time else None
        asked = ApiKeyFields(expire_time=end, **fields)
        try:
            _, text = await managing(self._url, lambda keys: keys.create(owner, asked))
        except SessionHistoryError as error:
            return {"error": str(error)}
        await self._servers[-1].app.refresh()
        return {"key": text}

    async def empty(self) -> dict[str, str]:
        """Delete all rows, the only data of the service; return an error if that is not possible."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                for server in self._servers:
                    await server.until_idle()
            async with self._connection.transaction():
                for statement in (_LOCK, *_DELETE):
                    await self._connection.execute(statement)
        except TimeoutError:
            return {
                "error": f"calls of an earlier test are still under way after {_PATIENCE_SECONDS} seconds"
            }
        except psycopg.errors.LockNotAvailable:
            return {"error": f"a transaction on its database is still open after {_PATIENCE_SECONDS} seconds"}
        return {}

    async def _start(self, settings: Settings) -> _Server:
        app = App(settings, self._conninfo)
        await app.start()
        self._stack.push_async_callback(app.stop)
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{app.port}", [NO_PROXY])
        await self._stack.enter_async_context(channel)
        server = _Server(app, health_pb2_grpc.HealthStub(channel))
        await server.until_serving()
        self._servers.append(server)
        return server


async def _serve(url: str) -> None:
    lines = await _standard_input()
    async with AsyncExitStack() as stack:
        requests = _Requests(stack, url)
        _write(await requests.begin())
        async for line in lines:
            word, _, arguments = line.decode().partition(" ")
            if word.strip() == "end":
                return
            answer = getattr(requests, word.strip())
            _write(await answer(**json.loads(arguments or "{}")))


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


def _write(answer: dict[str, str]) -> None:
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
