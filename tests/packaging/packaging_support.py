"""A virtual environment outside the repository."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]

# A conversation with the generated stubs, as a user's program would have it. Prints the results.
CONVERSATION = """
import json, sys
import grpc
from sessionhistory.v1 import message_pb2, session_history_service_pb2 as pb
from sessionhistory.v1.session_history_service_pb2_grpc import SessionHistoryServiceStub

with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = SessionHistoryServiceStub(channel)
    created = stub.CreateSession(pb.CreateSessionRequest(session_id="packaged"), timeout=30)
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content="héllo")
    stub.AppendMessage(pb.AppendMessageRequest(session_id="packaged", message=message), timeout=30)
    window = stub.GetHistory(pb.GetHistoryRequest(session_id="packaged"), timeout=30).history
    print(json.dumps([created.created, [message.content for message in window.messages]]))
"""

# The same with the clients, and one of their errors.
CLIENT_CONVERSATION = """
import json, sys
from sessionhistory import Message, Role, Session, SessionHistoryClient, errors

with SessionHistoryClient(sys.argv[1], timeout_seconds=30) as client:
    created = client.create_session("packaged")
    client.append_message("packaged", Message(role=Role.USER, content="héllo"))
    try:
        client.get_message("packaged", sequence=2)
    except errors.MessageNotFoundError as error:
        assert error.metadata == {"session_id": "packaged"}
    window = client.get_history("packaged")
    print(json.dumps([created.created, [message.content for message in window.messages]]))
"""
ASYNC_CONVERSATION = """
import asyncio, json, sys
from sessionhistory import AsyncSessionHistoryClient, Message, Role, Session, errors

async def main():
    async with AsyncSessionHistoryClient(sys.argv[1], timeout_seconds=30) as client:
        created = await client.create_session("packaged")
        await client.append_message("packaged", Message(role=Role.USER, content="héllo"))
        try:
            await client.get_message("packaged", sequence=2)
        except errors.MessageNotFoundError as error:
            assert error.metadata == {"session_id": "packaged"}
        contents = [message.content async for message in client.list_messages("packaged")]
        print(json.dumps([created.created, contents]))

asyncio.run(main())
"""

SAID = [True, ["héllo"]]

_LIMIT_SECONDS = 600


def run_online(command: Sequence[str | Path], what: str, **options: Any) -> None:
    """Run a command that needs the network; without it skip the test, or fail if it is required."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False, **options
    )
    if done.returncode == 0:
        return
    message = f"{what} failed: {(done.stderr or done.stdout).strip()[-500:]}"
    if os.environ.get("SESSION_HISTORY_REQUIRE_TOOLS"):
        pytest.fail(message)
    pytest.skip(message)


@dataclass(frozen=True)
class Environment:
    """A virtual environment whose programs do not see the repository."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def command(self) -> Path:
        """The command `session-history`."""
        return self.folder / "bin" / "session-history"

    @property
    def variables(self) -> dict[str, str]:
        """The process's environment variables without those that name the repository."""
        ours = ("PYTHON", "SESSION_HISTORY_", "VIRTUAL_ENV")
        return {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    async def converse(self, address: str, conversation: str = CONVERSATION) -> str:
        """Have a conversation with a server, with warnings as errors; return the output."""
        process = await asyncio.create_subprocess_exec(
            self.python,
            *("-W", "error", "-c", conversation, address),
            cwd=self.folder,
            env=self.variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return output.decode()
