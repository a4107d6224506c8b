"""The rows of the benchmark that compare Citus with one machine."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import sessionhistory_migrations as migrations
from benchmarks.bench import Bench
from benchmarks.measurement import measure
from benchmarks.rows import citus
from benchmarks.scale import QUICK
from sessionhistory_server import embedded
from support.tools import require

if TYPE_CHECKING:
    from pathlib import Path

TINY = replace(QUICK, rounds=1, round_seconds=1, many_sessions=30)


def test_rows(tmp_path: Path, empty_database_url: str) -> None:
    """Each row is measured: the run distributes the empty database, and fills it."""
    require("h2load", path=os.environ["PATH"])
    with embedded.running(tmp_path / "data") as url:
        migrations.upgrade(url)
        with Bench(TINY, tmp_path, url, citus_url=empty_database_url) as bench:
            results = [measure(row, bench) for row in citus.ROWS]

    assert [(one.row.name, one.note) for one in results if not one.rounds] == []
    assert all(one.ratio > 0 for one in results)
