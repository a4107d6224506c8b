"""Run grpcurl as users run it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from support.service import PATIENCE_SECONDS
from support.tools import require, search_path

if TYPE_CHECKING:
    from support.service import Service


async def grpcurl(service: Service, *arguments: str, flags: tuple[str, ...] = ()) -> str:
    """Run grpcurl against a service; return its output. It must succeed."""
    path = search_path()
    require("grpcurl", path=path)
    process = await asyncio.create_subprocess_exec(
        *("grpcurl", "-plaintext", *flags, service.address, *arguments),
        env={"PATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode == 0, output.decode()
    return output.decode()
