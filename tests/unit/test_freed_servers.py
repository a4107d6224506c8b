"""A server that could not listen is freed without harm, whatever the log level is."""

from __future__ import annotations

import os
import subprocess
import sys

_PROGRAM = """
import asyncio, gc, logging
import grpc.aio
from sessionhistory_server.rpc import server

records = []
keeper = logging.Handler()
keeper.emit = records.append
logging.basicConfig(level=logging.DEBUG, handlers=[keeper])

async def main():
    grpc.aio.server()
    gc.collect()
    records.clear()
    gc.collect()

asyncio.run(main())
"""


def test_a_server_that_never_ran() -> None:
    """No log record refers to the server after it is freed, which would end the process."""
    environment = os.environ | {"PYTHONMALLOC": "debug"}
    command = [sys.executable, "-c", _PROGRAM]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
