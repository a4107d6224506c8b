"""Choose the number of workers for the cores that this process may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEFAULT: Final = 4
"""A small Postgres has capacity and connections for this many workers."""


def default_workers() -> int:
    """Return one worker for each usable core, up to a limit; one where processes cannot share a port."""
    return min(usable_cores(), MAX_DEFAULT) if sys.platform == "linux" else 1


def usable_cores(root: Path = Path("/")) -> int:
    """Return the number of cores that this process may use, by its affinity and the quotas of its cgroup."""
    return max(1, int(min([len(os.sched_getaffinity(0)), *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas, in cores, of the cgroup of this process and of the cgroups around it."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        # In a container the path may be the host's path. Then the quota is at the top of the mount.
        for folder in (PurePosixPath(path), *PurePosixPath(path).parents):
            yield from _quota(mount / folder.relative_to("/"))


def _quota(folder: Path) -> Iterator[float]:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = (
                (folder / name).read_text() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            )
        if quota.strip() not in {"max", "-1"}:
            yield int(quota) / int(period)
    except (OSError, ValueError):
        return
