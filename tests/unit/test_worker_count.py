"""The default number of workers on a machine or in a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sessionhistory_server.runtime.workers import worker_count

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process run on eight cores."""
    monkeypatch.setattr(worker_count.os, "sched_getaffinity", lambda _pid: set(range(8)))


def _files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("files", "usable"),
    [
        pytest.param({}, 8, id="not Linux's files"),
        pytest.param({"proc/self/cgroup": "0::/"}, 8, id="no cgroup"),
        pytest.param(
            {"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 8, id="no quota"
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "300000 100000"}, 3, id="a quota"
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/a/b",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000",
                "sys/fs/cgroup/a/cpu.max": "250000 100000",
            },
            2,
            id="a quota above, and a part of a core",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "20000 100000"}, 1, id="less than one"
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/host/docker/1", "sys/fs/cgroup/cpu.max": "400000 100000"},
            4,
            id="a container with its host's path",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "2:memory:/m\n1:cpu,cpuacct:/a",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            2,
            id="version 1",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "many few"}, 8, id="not to be read"
        ),
    ],
)
def test_the_cores_that_we_may_keep_busy(tmp_path: Path, files: dict[str, str], usable: int) -> None:
    """The process may use its cores, but not more than the whole cores of any quota of its cgroups."""
    assert worker_count.usable_cores(_files(tmp_path, files)) == usable


@pytest.mark.parametrize(
    ("platform", "usable", "workers"), [("linux", 1, 1), ("linux", 3, 3), ("linux", 8, 4), ("darwin", 8, 1)]
)
def test_the_default(monkeypatch: pytest.MonkeyPatch, platform: str, usable: int, workers: int) -> None:
    """The default is one worker a core, limited by a small Postgres's connections.

    It is one where processes cannot share a port.
    """
    monkeypatch.setattr(worker_count.sys, "platform", platform)
    monkeypatch.setattr(worker_count, "usable_cores", lambda: usable)
    assert worker_count.default_workers() == workers
