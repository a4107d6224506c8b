"""The list of all jobs. A new job needs one line here."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sessionhistory_server.background import jobs, retention, usage_recount
from sessionhistory_server.background.supervised_task import SupervisedTask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_server.background.retention import NoteChange
    from sessionhistory_server.store.postgres.database import Database


def supervised_jobs(database: Database, note: NoteChange | None = None) -> Iterator[SupervisedTask]:
    """Yield a task for each job. Several servers may run the same jobs on one database.

    Args:
        database: The database.
        note: Notes the sessions and bytes that are removed; ``None``: the server counts nothing.
    """
    counting = [usage_recount.job()] if note is not None else []
    for job in (retention.job(note), *counting):
        work = partial(jobs.run, job, database)
        yield SupervisedTask(job.name, work, limit_seconds=job.hangs_after_seconds)
