"""The TypeScript example's client in Next.js: built and run by the commands of its README."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.examples import Example
from support.tools import require, search_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from support.processes import Server
    from support.service import Service

_ADDRESS = "127.0.0.1:3000"
_LOCAL = re.compile(r"Local: +http://(?P<address>\S+)")


async def test_a_route_of_nextjs(
    tmp_path: Path,
    database_url: str,
    serve: Callable[..., Awaitable[Service]],
    start: Callable[..., Server],
) -> None:
    """The route streams the stored text; a refusal of the service is an error of the route."""
    require("node", "npm", "curl", path=search_path())
    example = Example("typescript", tmp_path, "nextjs")
    build, ask = example.commands
    service = await serve(database_url)
    assert (await example.run(build)).returncode == 0

    variables = {"PORT": "0", "SESSION_HISTORY_ADDRESS": service.address}
    nextjs = start(command=("npm", "start"), cwd=example.folder, **variables)
    nextjs.wait_for("Ready in")
    local = _LOCAL.search(nextjs.log)
    assert local
    assert _ADDRESS in ask
    ask = ask.replace(_ADDRESS, local["address"])
    assert (await example.run(ask)).stdout == "Light clothes and a hat."
    messages = (await service.stub.ListMessages(pb.ListMessagesRequest(session_id="trip-5"))).messages
    assert [message.content for message in messages] == ["What do I pack?", "Light clothes and a hat."]
    assert messages[1].finish_reason == "stop"
    await example.run(ask.replace("pack", "wear"))
    nextjs.wait_for("MESSAGE_ID_REUSED")
