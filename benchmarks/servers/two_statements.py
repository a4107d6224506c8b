"""`session-history` that takes each database for one that Citus has distributed.

This is a program. Its arguments are those of `session-history`. It shows the cost of the statements for Citus
on one machine.
"""

from __future__ import annotations

import runpy
from typing import TYPE_CHECKING

from sessionhistory_server.store.postgres import citus

if TYPE_CHECKING:
    from sessionhistory_server.store.postgres.connection import Connection


async def _is_distributed(connection: Connection) -> bool:  # noqa: ARG001 - it replaces a function of the store
    return True


if __name__ == "__main__":
    citus.is_distributed = _is_distributed
    runpy.run_module("sessionhistory_cli", run_name="__main__", alter_sys=True)
