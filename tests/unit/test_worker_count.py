"""How many workers a machine gets, or a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sessionhistory_server.workers import cores

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """We may run on eight cores."""
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _pid: set(range(8)))


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
    """Those we may run on, but no more than whole ones of the quotas of our cgroup and those around it."""
    assert cores.usable_cores(_files(tmp_path, files)) == usable


@pytest.mark.parametrize(
    ("platform", "usable", "workers"), [("linux", 1, 1), ("linux", 3, 3), ("linux", 8, 4), ("darwin", 8, 1)]
)
def test_the_default(monkeypatch: pytest.MonkeyPatch, platform: str, usable: int, workers: int) -> None:
    """One for each core, but not more than a small Postgres has connections for; one where no more can be."""
    monkeypatch.setattr(cores.sys, "platform", platform)
    monkeypatch.setattr(cores, "usable_cores", lambda: usable)
    assert cores.default_workers() == workers
