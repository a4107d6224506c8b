"""The data directory, which is ours alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sessionhistory_server.embedded.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from pathlib import Path

# With lost+found, which a file system of its own has from the start.
_OURS = re.compile(r"lock|postgres(\.log(\.1)?|\.new-.*)?|lost\+found", re.DOTALL)
_SERVED = {"lock", "postgres"}


def prepare(path: Path) -> Path:
    """Makes the data directory, with mode 0700, if it is missing; returns it as an absolute path.

    Raises:
        EmbeddedPostgresError: It is no folder, or holds what is not ours; it is left as it is.
        OSError: It cannot be made or read.
    """
    if path.exists() and not path.is_dir():
        raise EmbeddedPostgresError(f"{path} is not a folder: choose another --data-dir")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {entry.name for entry in path.iterdir()}
    foreign = sorted(name for name in names if not _OURS.fullmatch(name))
    # Once served it is ours, and what somebody has put beside our data does no harm.
    if foreign and not names >= _SERVED:
        raise EmbeddedPostgresError(
            f"{path} holds something else, such as {foreign[0]!r}: choose a new or empty folder as --data-dir"
        )
    return path.resolve()
