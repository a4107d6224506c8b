"""Every statement through PgBouncer, while other clients take its sessions of Postgres."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pooler_support import traffic
from store_calls import call_everything, make_two_pages
from store_support import use_cases
from test_plans import ON_ONE_MACHINE, PLANS, name_of

from sessionhistory_server.store.postgres import database_state, monitor, trial_write
from sessionhistory_server.store.postgres.database import Database
from support import reached
from support.plans import Statement, recording

TESTS = Path(__file__).parents[1]
NAMES = {*PLANS, *ON_ONE_MACHINE}

# Statements of jobs, of operators' commands, of a worker that follows the limits, of a recount that changes a
# summary, and of a compaction after an older release's truncation; `test_every_use_case` sends them.
ELSEWHERE = {
    *("job: lock", "purge: sessions", "sweep: forget all"),
    *("recount: sessions", "recount: weigh", "compaction: forget void"),
    *("keys: registered", "limits: changed", "limits: unset"),
    *("usage: is claimed", "usage: claim", "usage: renew", "usage: next tenant", "usage: counts"),
    *("usage: lock", "usage: forget users", "usage: forget tenant"),
    *(name for name in NAMES if name.startswith("usage recount: ")),
}

PROBES = {
    *(database_state._LOOK, database_state._REVISION, monitor._BACKENDS),  # noqa: SLF001 - no call sends them
    *(trial_write._LIMITS, trial_write._INSERT, "select true"),  # noqa: SLF001 - the same
}
"""The statements of the monitor."""


async def test_every_use_case(pooled_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each statement gives the right rows in any session that the pooler gives it."""
    database = Database(pooled_url, pool_size=1, pool_timeout_seconds=30, pooled=True)
    await database.open_pool()
    history = use_cases(database)
    with recording(monkeypatch, pooled_url) as recorder:
        async with traffic(pooled_url):
            await make_two_pages(history)
            await call_everything(history, database)
    await database.close()
    assert {name_of(statement) for statement in recorder.take()} == NAMES


@pytest.mark.timeout(1_800)
def test_the_rpcs(postgres_url: str, tmp_path: Path) -> None:
    """The tests marked `pooled` pass through PgBouncer, and reach all statements of RPCs."""
    found = tmp_path / "reached.json"
    variables = {
        "SESSION_HISTORY_TEST_DATABASE_URL": postgres_url,
        "SESSION_HISTORY_TEST_POOLER": "transaction",
        reached.VARIABLE: str(found),
    }
    options = ("-q", "-p", "no:cacheprovider", "-p", "support.reached", "-m", "pooled")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "rpc", "tokens"],
        cwd=TESTS,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    texts = set(json.loads(found.read_text())) - PROBES
    assert {name_of(Statement(text, {})) for text in texts} >= NAMES - ELSEWHERE
