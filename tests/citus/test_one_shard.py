"""Citus runs each statement about a session on the one machine that has the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from statement_names import name_of
from store_calls import call_everything, make_two_pages
from store_support import fill, use_cases
from test_distributable import ON_ALL_MACHINES
from test_plans import UNEXPLAINED

from sessionhistory_server.store.postgres.database import Database
from support.plans import plan, recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.citus import CitusDatabases

# A connection may exchange the plan of a prepared statement after five executions.
EXECUTIONS = 10


@pytest.mark.parametrize("prepare", [fill, lambda _: None], ids=["many rows", "no rows"])
async def test_a_statement_about_a_session_asks_one_shard(
    cluster: CitusDatabases, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[str], None]
) -> None:
    """Each statement of the store asks one shard, and one table says which ask all.

    That holds for the first executions and for later ones.
    """
    with cluster.distributed() as url:
        prepare(url)
        database = Database(url, pool_size=1, pool_timeout_seconds=30)
        await database.open_pool()
        history = use_cases(database)
        await make_two_pages(history)
        with recording(monkeypatch, url) as recorder:
            await call_everything(history, database)
        assert recorder.connection
        for statement in recorder.take():
            for _ in range(EXECUTIONS):
                name = name_of(statement)
                found = await plan(recorder.connection, statement, prepared=name not in UNEXPLAINED)
                asked = {node.tasks for node in found} - {0}
                if name in ON_ALL_MACHINES:
                    assert max(asked) > 1, name
                else:
                    assert asked == {1}, (name, statement.text)
        await database.close()
