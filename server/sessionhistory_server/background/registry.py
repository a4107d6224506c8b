"""The list of all jobs. A new job needs one line here."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sessionhistory_server.background import jobs, retention
from sessionhistory_server.background.supervised_task import SupervisedTask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_server.store.postgres.database import Database


def supervised_jobs(database: Database) -> Iterator[SupervisedTask]:
    """Yield a task for each job. Several servers may run the same jobs on one database."""
    for job in (retention.job(),):
        work = partial(jobs.run, job, database)
        yield SupervisedTask(job.name, work, limit_seconds=job.hangs_after_seconds)
