"""The data directory, which contains only the files of the service."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sessionhistory_server.embedded.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from pathlib import Path

# Every new file system contains lost+found.
_OURS = re.compile(r"lock|postgres(\.log(\.1)?|\.new-.*)?|lost\+found", re.DOTALL)
_SERVED = {"lock", "postgres"}


def prepare(path: Path) -> Path:
    """Create the data directory with mode 0700 if it is missing; return its absolute path.

    Raises:
        EmbeddedPostgresError: The path is not a folder, or contains other files. It is left unchanged.
        OSError: The directory cannot be created or read.
    """
    if path.exists() and not path.is_dir():
        raise EmbeddedPostgresError(f"{path} is not a folder: choose another --data-dir")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {entry.name for entry in path.iterdir()}
    foreign = sorted(name for name in names if not _OURS.fullmatch(name))
    # A directory with a cluster belongs to the service. Further files in it do no harm.
    if foreign and not names >= _SERVED:
        raise EmbeddedPostgresError(
            f"{path} contains other files, such as {foreign[0]!r}: choose a new or empty folder as --data-dir"
        )
    return path.resolve()
