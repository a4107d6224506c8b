"""Makes the client for threads from the one for asyncio; with --check, says whether it is so made."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from filecmp import cmpfiles
from pathlib import Path
from typing import Final

import unasync

_PACKAGE: Final = Path(__file__).parents[1] / "client" / "sessionhistory"
_MADE: Final = _PACKAGE / "_sync"
_RUFF: Final = Path(sys.executable).with_name("ruff")

_NAMES: Final = {
    "_async": "_sync",
    "AsyncCalls": "Calls",
    "AsyncChannel": "Channel",
    "AsyncEdits": "Edits",
    "AsyncMessageStream": "MessageStream",
    "AsyncMessages": "Messages",
    "AsyncSessionHistoryClient": "SessionHistoryClient",
    "AsyncSessions": "Sessions",
    "AsyncStreams": "Streams",
    "AsyncTransport": "Transport",
    "AsyncUpload": "Upload",
    "asyncio": "time",
    "open_async_channel": "open_channel",
    "running_loop": "no_loop",
}


def main() -> None:
    """Make it, or compare what is there with what would be made."""
    if "--check" not in sys.argv[1:]:
        _make(_MADE)
        return
    with tempfile.TemporaryDirectory(dir=_PACKAGE.parent) as folder:
        made = Path(folder) / "_sync"
        _make(made)
        names = sorted({path.name for path in [*made.glob("*.py"), *_MADE.glob("*.py")]})
        _, differing, missing = cmpfiles(made, _MADE, names, shallow=False)
    if differing or missing:
        sys.exit(
            f"{', '.join(differing + missing)} in {_MADE.name} not as made from _async. Run: make sync-client"
        )


def _make(folder: Path) -> None:
    sources = [str(path) for path in sorted((_PACKAGE / "_async").glob("*.py"))]
    rule = unasync.Rule(str(_PACKAGE / "_async"), str(folder), _NAMES)
    unasync.unasync_files(sources, [rule])
    quiet = ("--quiet", "--no-cache", folder)
    subprocess.run([_RUFF, "check", "--fix-only", "--select", "I", *quiet], check=True)  # noqa: S603 - our own ruff
    subprocess.run([_RUFF, "format", *quiet], check=True)  # noqa: S603 - our own ruff


if __name__ == "__main__":
    main()
