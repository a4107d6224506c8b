"""The examples all have the same conversation, and store it in spite of lost answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.certificates import Authority
from support.examples import Example
from support.forgetful import STREAM, Forgetful
from support.tools import ROOT, require, search_path

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from support.service import Service

_TOOLS = {
    "go": ("go", "buf"),
    "java": ("javac", "mvn"),
    "rust": ("cargo", "cc"),
    "typescript": ("node", "npm"),
}
_WITH_TLS = ("go", "java", "typescript")

_CONVERSATION = """\
created session ID
stored message 2, the context has 2 messages, 11 tokens:
  1 SYSTEM: You plan trips.
  2 USER: What is the weather in Rome?
stored messages 3 to 5
the newest that fit 4 messages, 1 left out:
  1 SYSTEM: You plan trips.
  3 ASSISTANT: calls weather({"city":"Rome"})
  4 TOOL: 24 degrees, sunny
  5 ASSISTANT: Sunny, 24 degrees.
listed 5 messages in 3 pages
streamed message 7, INTERRUPTED: Light clothes and
streamed message 8, COMPLETE: Light clothes and a hat.
as another user: NOT_FOUND, SESSION_NOT_FOUND
deleted
"""
# The codes as Rust writes them.
_IN_RUST = {"NotFound,": "NOT_FOUND,", "InvalidArgument,": "INVALID_ARGUMENT,"}
_ADDRESS = "127.0.0.1:50051"
_CREATED = "created session ID\n"
_REFUSED = "INVALID_ARGUMENT, INVALID_FIELD: user_id: is required by this server\n"
_DEADLINE_SECONDS = 5
_STREAM_DEADLINE_SECONDS = 300

_ID = re.compile(r"example-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Lines that Go adds: downloads on the first run, and the exit status of a failed program.
_OF_GO = re.compile(r"^(go: downloading .*|exit status 1)\n", re.MULTILINE)


@pytest.mark.parametrize("language", _TOOLS)
async def test_example(
    language: str, tmp_path: Path, database_url: str, serve: Callable[..., Awaitable[Service]]
) -> None:
    """An example succeeds although each first answer is lost; an error ends it with one line and code 1."""
    require(*_TOOLS[language], path=search_path())
    example = Example(language, tmp_path)
    (commands,) = example.commands
    assert _ADDRESS in commands
    service, strict = await serve(database_url), await serve(database_url, require_user_id=True)

    async with Forgetful.running(service) as forgetful:
        done = await example.run(commands.replace(_ADDRESS, forgetful.address))
    _assert_said(done, _CONVERSATION, errors="", code=0)
    assert round(forgetful.seconds_left.pop(STREAM)) == _STREAM_DEADLINE_SECONDS
    assert round(max(forgetful.seconds_left.values())) <= _DEADLINE_SECONDS
    await _assert_stored_and_deleted(service, _ID.findall(done.stdout))

    again = commands.splitlines()[-1]
    done = await example.run(again.replace(_ADDRESS, strict.address))
    _assert_said(done, _CREATED, errors=_REFUSED, code=1)

    if language in _WITH_TLS:
        authority = Authority(tmp_path / "authority")
        client = authority.issue("client", "client.example")
        settings = authority.issue("server").settings | {"tls_client_ca": authority.ca}
        mutual = await serve(database_url, credentials=authority.credentials(client), **settings)
        address = mutual.address.replace("127.0.0.1", "localhost")
        done = await example.run(again.replace(_ADDRESS, address), **authority.variables(client))
        _assert_said(done, _CONVERSATION, errors="", code=0)


def test_every_example_is_run() -> None:
    """Every example is in the table of tools."""
    assert {entry.name for entry in (ROOT / "examples").iterdir() if entry.is_dir()} == set(_TOOLS)


def _assert_said(done: subprocess.CompletedProcess[str], output: str, *, errors: str, code: int) -> None:
    assert _as_grpc(_OF_GO.sub("", done.stderr)) == errors
    assert _as_grpc(_ID.sub("ID", done.stdout)) == output
    assert done.returncode == code


def _as_grpc(text: str) -> str:
    for in_rust, in_grpc in _IN_RUST.items():
        text = text.replace(in_rust, in_grpc)
    return text


async def _assert_stored_and_deleted(service: Service, session_ids: list[str]) -> None:
    asked = pb.ListSessionsRequest(user_id="ada", labels={"app": "travel"})
    assert not (await service.stub.ListSessions(asked)).sessions
    asked.show_deleted = True
    sessions = (await service.stub.ListSessions(asked)).sessions
    assert [session.session_id for session in sessions] == session_ids
    assert all(session.HasField("delete_time") for session in sessions)
    (session_id,) = session_ids
    await service.stub.UndeleteSession(pb.UndeleteSessionRequest(session_id=session_id))
    messages = (await service.stub.ListMessages(pb.ListMessagesRequest(session_id=session_id))).messages
    assert [message.sequence for message in messages] == [1, 2, 3, 4, 5, 6, 8]
    assert (messages[-1].finish_reason, messages[-1].usage.output_tokens) == ("stop", 6)
