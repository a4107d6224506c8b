"""A job runs on one server at a time: the lock of its transactions decides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sessionhistory_server.background import jobs, registry
from sessionhistory_server.background.jobs import Job, JobBusyError, JobDatabase
from support.databases import execute
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database

LOCKS = """
select from pg_locks join pg_database on pg_database.oid = pg_locks.database
where locktype = 'advisory' and datname = current_database()
"""


@pytest.fixture
async def database(open_database: Callable[..., Awaitable[Database]], database_url: str) -> Database:
    """The database of one server."""
    return await open_database(database_url)


async def nothing(_: Connection) -> bool:
    """Do no work."""
    return True


async def test_one_server_at_a_time_works(
    database: Database, open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """While one server is in a transaction of a job, another server does not begin one."""
    begun, end = asyncio.Event(), asyncio.Event()

    async def work(_: Connection) -> None:
        begun.set()
        await end.wait()

    other_database = await open_database(database_url)
    first, second = JobDatabase(database, "job"), JobDatabase(other_database, "job")
    task = asyncio.create_task(first.write(work))
    await begun.wait()
    with pytest.raises(JobBusyError):
        await second.write(nothing)
    assert await JobDatabase(other_database, "another job").write(nothing)
    end.set()
    await task
    assert await second.write(nothing)


async def test_a_failure_frees_the_job(database: Database, database_url: str) -> None:
    """The lock ends with its transaction, whatever becomes of the work."""

    async def fail(_: Connection) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await JobDatabase(database, "job").write(fail)
    await until(lambda: not execute(database_url, LOCKS))
    assert await JobDatabase(database, "job").write(nothing)


async def test_a_busy_job_is_tried_again(database: Database) -> None:
    """A server that finds a job busy runs it again after its interval."""
    runs = 0

    async def run_once(_: JobDatabase) -> None:
        nonlocal runs
        runs += 1
        raise JobBusyError

    task = asyncio.create_task(jobs.run(Job("job", run_once, 0, 1), database))
    await until(lambda: runs > 2)
    task.cancel()


async def test_each_worker_runs_every_job(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry has no favourite worker: it makes the same tasks for each of them."""
    ran: list[str] = []

    async def run(job: Job, _: Database) -> None:
        ran.append(job.name)
        await asyncio.Event().wait()

    monkeypatch.setattr(jobs, "run", run)
    tasks = [task for _ in range(2) for task in registry.supervised_jobs(database)]
    for task in tasks:
        task.start()
    await until(lambda: ran == ["retention"] * 2)
    for task in tasks:
        await task.stop()
