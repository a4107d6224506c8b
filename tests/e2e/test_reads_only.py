"""A database that refuses writes: reads are served, refusals counted, and no restart is needed."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from grpc_health.v1 import health_pb2
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import sessionhistory_migrations as migrations
from sessionhistory.v1 import message_pb2, session_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.rpc.dispatch import SERVICE
from support.databases import execute
from support.errors import fails
from support.processes import run
from support.proxy import terminate_all
from support.service import NOT_SERVING, SERVING
from support.tcp_postgres import tcp_postgres
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

_DISK_BYTES = 16 * 2**20

# So large that a file must grow: small messages may find room in existing files.
_LARGE = os.urandom(2**17).hex()


def _append(message_id: str, content: str = "hello") -> pb.AppendMessageRequest:
    message = message_pb2.Message(message_id=message_id, role=message_pb2.ROLE_USER, content=content)
    return pb.AppendMessageRequest(session_id="s", message=message, new_session=session_pb2.SessionFields())


async def _health(service: Service) -> tuple[int, int]:
    """Return the health of the whole server, and of the service."""
    checks = [health_pb2.HealthCheckRequest(service=name) for name in ("", SERVICE.full_name)]
    whole, ours = [(await service.health.Check(check)).status for check in checks]
    return whole, ours


async def _until_it_serves(service: Service, *, writes: bool) -> None:
    wanted = SERVING if writes else NOT_SERVING
    watch = service.health.Watch(health_pb2.HealthCheckRequest(service=SERVICE.full_name), timeout=30)
    async for answer in watch:
        if answer.status == wanted:
            break
    watch.cancel()


async def _require_reads_only(service: Service, sqlstate: str, caplog: pytest.LogCaptureFixture) -> None:
    """Require that writes fail with a reason and reads work, and that health, log and metrics say so."""
    with fails("UNAVAILABLE", "DATABASE_READ_ONLY") as failure:
        await service.stub.AppendMessage(_append("refused", _LARGE))
    assert failure.retry_seconds == 1
    await _until_it_serves(service, writes=False)
    with fails("UNAVAILABLE", "DATABASE_READ_ONLY"):
        await service.stub.AppendMessages(
            pb.AppendMessagesRequest(session_id="s", messages=[_append(id_, _LARGE).message for id_ in "ab"])
        )
    assert await _health(service) == (SERVING, NOT_SERVING)
    history = await service.stub.GetHistory(pb.GetHistoryRequest(session_id="s"))
    assert [message.message_id for message in history.history.messages][:1] == ["first"]
    told = [r for r in caplog.records if r.getMessage().startswith("the database refuses writes: ")]
    assert [getattr(record, "sqlstate", None) for record in told] == [sqlstate]
    found = [r.getMessage() for r in caplog.records if "only reads are served" in r.getMessage()]
    assert len(found) == 1
    assert service.app.metrics.totals().refused_writes[sqlstate] >= 2


async def _require_writes(service: Service) -> None:
    await _until_it_serves(service, writes=True)
    assert (await service.stub.AppendMessage(_append("again"))).message.message_id == "again"
    assert await _health(service) == (SERVING, SERVING)


async def test_a_database_that_is_set_to_read_only_is_read_from(
    serve: Serve, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The service reads from a database that is set to read-only, and writes when it is set back.

    Managed services do that when the storage is full.
    """
    service = await serve(database_url)
    await service.stub.AppendMessage(_append("first"))
    name = conninfo_to_dict(database_url)["dbname"]
    execute(database_url, f'alter database "{name}" set default_transaction_read_only = on')
    terminate_all(database_url)
    await until(lambda: service.pool_stats.get("pool_available") == 8)
    await _until_it_serves(service, writes=False)
    await _require_reads_only(service, "25006", caplog)
    checked = await asyncio.to_thread(run, "check", "--database-url", database_url)
    assert checked.returncode == 1
    assert "only reads are served" in checked.stdout
    health = await asyncio.to_thread(run, "health", "--server", service.address)
    assert (health.returncode, health.stdout) == (0, "SERVING, reads only: see `session-history check`\n")
    writable = make_conninfo(database_url, options="-c default_transaction_read_only=off")
    execute(writable, f'alter database "{name}" reset default_transaction_read_only')
    await _require_writes(service)


async def test_a_role_that_may_only_read_is_read_with(
    serve: Serve, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A role without the right to write is reported; writes work again when it has the right."""
    role = f"reader_{os.urandom(4).hex()}"
    tables = "sessions, messages, summaries"
    execute(
        database_url,
        f"create role {role} login",
        f"grant select on alembic_version to {role}",
        f"grant select, insert, update, delete on {tables} to {role}",
    )
    try:
        service = await serve(make_conninfo(database_url, user=role))
        await service.stub.AppendMessage(_append("first"))
        execute(database_url, f"revoke insert, update, delete on {tables} from {role}")
        await _require_reads_only(service, "42501", caplog)
        execute(database_url, f"grant insert, update, delete on {tables} to {role}")
        await _require_writes(service)
        await service.app.stop()
    finally:
        execute(database_url, f"drop owned by {role}", f"drop role {role}")


@contextmanager
def small_disk() -> Iterator[Path]:
    """Mount a small file system in memory that every account can use."""
    folder = Path("/tmp") / f"session-history-disk-{os.urandom(4).hex()}"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=777", "tmpfs", folder]
    try:
        mounted = shutil.which("mount") and subprocess.run(mount, capture_output=True, check=False)
        if not mounted or mounted.returncode:
            pytest.skip("this account may not mount a file system")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
    finally:
        folder.rmdir()


def _fill(path: Path) -> None:
    """Write a file until there is no room for more."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4_096)):
            pass


async def _append_until_it_fails(service: Service) -> None:
    """Use up the free room in the files of the tables."""
    for number in range(_DISK_BYTES // 2**18):
        await service.stub.AppendMessage(_append(f"large-{number}", _LARGE))


async def test_a_disk_that_is_full_is_read_from(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """If a file cannot grow, writes are refused; when there is room, they work without a restart."""
    with small_disk() as disk, tcp_postgres() as postgres:
        space = disk / "space"
        space.mkdir()
        shutil.chown(space, postgres.account.uid, postgres.account.gid)
        migrations.upgrade(postgres.url)
        execute(
            postgres.url,
            f"create tablespace small location '{space}'",
            "alter table messages set tablespace small",
        )
        service = await serve(postgres.url)
        await service.stub.AppendMessage(_append("first"))
        filler = disk / "filler"
        _fill(filler)
        with fails("UNAVAILABLE", "DATABASE_READ_ONLY"):
            await _append_until_it_fails(service)
        await _require_reads_only(service, "53100", caplog)
        assert re.search(r"No space left on device \(SQLSTATE 53100\)", caplog.text)
        filler.unlink()
        await _require_writes(service)
        await service.app.stop()
