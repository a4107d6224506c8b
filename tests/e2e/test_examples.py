"""The examples all have the same conversation, and store it in spite of lost answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server import call_context
from sessionhistory_server.credentials.errors import credentials_invalid
from sessionhistory_server.rpc.authentication import Authentication
from support.certificates import Authority
from support.examples import Example
from support.forgetful import STREAM, Forgetful
from support.keys import make_key
from support.tools import ROOT, require, search_path

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sessionhistory_server.credentials.identity import Identity
    from sessionhistory_server.rpc.dispatch import Method
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
_IN_RUST = {
    "NotFound,": "NOT_FOUND,",
    "InvalidArgument,": "INVALID_ARGUMENT,",
    "Unauthenticated,": "UNAUTHENTICATED,",
}
_ADDRESS = "127.0.0.1:50051"
_CREATED = "created session ID\n"
_REFUSED = "INVALID_ARGUMENT, INVALID_FIELD: user_id: is required: each call must name its user\n"
_REFUSED_KEY = f"UNAUTHENTICATED, CREDENTIALS_INVALID: {credentials_invalid()}\n"
_DEADLINE_SECONDS = 5
_STREAM_DEADLINE_SECONDS = 300

_ID = re.compile(r"example-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Lines that Go adds: downloads on the first run, and the exit status of a failed program.
_OF_GO = re.compile(r"^(go: downloading .*|exit status 1)\n", re.MULTILINE)


@pytest.mark.parametrize("language", _TOOLS)
async def test_example(
    language: str,
    tmp_path: Path,
    database_url: str,
    serve: Callable[..., Awaitable[Service]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An example succeeds although each first answer is lost; an error ends it with one line and code 1."""
    require(*_TOOLS[language], path=search_path())
    example = Example(language, tmp_path)
    commands = example.commands[0]
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

    await _assert_sends_its_key(example, again, serve, database_url, monkeypatch, tmp_path)


async def _assert_sends_its_key(
    example: Example,
    command: str,
    serve: Callable[..., Awaitable[Service]],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
) -> None:
    """With mutual TLS if the example has it, and with a file whose key changes; or in a variable."""
    authority = Authority(folder / "authority")
    options: dict[str, Any] = {}
    variables: dict[str, str] = {}
    if example.name in _WITH_TLS:
        client = authority.issue("client", "client.example")
        options = authority.issue("server").settings | {"tls_client_ca": authority.ca}
        options["credentials"] = authority.credentials(client)
        variables = authority.variables(client)
    guarded = await serve(database_url, auth=("keys",), **options)
    keys = [(await make_key(guarded))[1] for _ in range(2)]
    sent = _change_after_each_call(folder / "key", keys, monkeypatch)
    address = guarded.address.replace("127.0.0.1", "localhost" if variables else "127.0.0.1")
    variables["SESSION_HISTORY_API_KEY_FILE"] = str(folder / "key")
    done = await example.run(command.replace(_ADDRESS, address), **variables)
    _assert_said(done, _CONVERSATION, errors="", code=0)
    assert sent[:2] == keys

    plain = await serve(database_url, auth=("keys",))
    done = await example.run(command.replace(_ADDRESS, plain.address), SESSION_HISTORY_API_KEY="shk_nothing")
    _assert_said(done, "", errors=_REFUSED_KEY, code=1)


def _change_after_each_call(file: Path, keys: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Write the next key into a file whenever the server has identified a call; return the keys it gets."""
    identify, sent = Authentication.identify, list[str]()

    def change() -> None:
        sent.append((call_context.current().authorization or "").removeprefix("Bearer "))
        file.write_text(f"{keys[len(sent) % len(keys)]}\n")

    async def identify_and_change(self: Authentication, method: Method, context: Any) -> Identity:
        identity = await identify(self, method, context)
        if not method.terms.is_open:
            change()
        return identity

    monkeypatch.setattr(Authentication, "identify", identify_and_change)
    file.write_text(f"{keys[0]}\n")
    return sent


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
