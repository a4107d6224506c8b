"""Generate the client for threads from the client for asyncio; with --check, compare it instead.

If gRPC itself differs for threads and for asyncio, the generated code uses ``_transport/threads.py`` in place
of ``_transport/aio.py``; the two have the same names.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from filecmp import cmpfiles
from pathlib import Path
from typing import Final

import unasync

_PACKAGE: Final = Path(__file__).parents[1] / "client" / "sessionhistory"
_GENERATED: Final = _PACKAGE / "_sync"
_RUFF: Final = Path(sys.executable).with_name("ruff")

# A stream of calls relies on the event loop: nothing interrupts it between two awaits.
_ASYNCIO_ONLY: Final = {"call_stream.py", "call_streams.py", "streamed_calls.py"}

_NAMES: Final = {
    "_async": "_sync",
    "aio": "threads",
    "asyncio": "time",
    "AsyncActiveSessions": "ActiveSessions",
    "AsyncApiKeys": "ApiKeys",
    "AsyncCallMetadata": "CallMetadata",
    "AsyncCalls": "Calls",
    "AsyncConnection": "Connection",
    "AsyncConnections": "Connections",
    "AsyncForks": "Forks",
    "AsyncHistories": "Histories",
    "AsyncMessages": "Messages",
    "AsyncMessageStream": "MessageStream",
    "AsyncRefusedTokens": "RefusedTokens",
    "AsyncSessionHistoryClient": "SessionHistoryClient",
    "AsyncSessions": "Sessions",
    "AsyncState": "State",
    "AsyncStreams": "Streams",
    "AsyncTransport": "Transport",
    "streamed_calls": "calls",
    "StreamedCalls": "Calls",
}


def main() -> None:
    """Generate the files; with --check, exit with an error if a file differs from the generated one."""
    if "--check" not in sys.argv[1:]:
        _make(_GENERATED)
        return
    with tempfile.TemporaryDirectory(dir=_PACKAGE.parent) as folder:
        made = Path(folder) / "_sync"
        _make(made)
        names = sorted({path.name for path in [*made.glob("*.py"), *_GENERATED.glob("*.py")]})
        _, differing, missing = cmpfiles(made, _GENERATED, names, shallow=False)
    if differing or missing:
        sys.exit(
            f"_sync is not as generated from _async: {', '.join(differing + missing)}. Run: make sync-client"
        )


def _make(folder: Path) -> None:
    sources = [
        str(path) for path in sorted((_PACKAGE / "_async").glob("*.py")) if path.name not in _ASYNCIO_ONLY
    ]
    rule = unasync.Rule(str(_PACKAGE / "_async"), str(folder), _NAMES)
    unasync.unasync_files(sources, [rule])
    quiet = ("--quiet", "--no-cache", folder)
    subprocess.run([_RUFF, "check", "--fix-only", "--select", "I", *quiet], check=True)  # noqa: S603 - our own ruff
    subprocess.run([_RUFF, "format", *quiet], check=True)  # noqa: S603 - our own ruff


if __name__ == "__main__":
    main()
