"""`session-history append`: the standard input becomes a message."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
from typing import TYPE_CHECKING

import pytest

from sessionhistory_server.rpc.peers.connection import Exchange
from support.processes import COMMAND, PATIENCE_SECONDS, environment
from support.relay import relay
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from click.testing import Result

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Command = Callable[..., Awaitable[Result]]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Returns how often the server has begun to wait for a piece of a stream."""
    waits: list[Exchange] = []
    next_request = Exchange.next_request

    async def counted(exchange: Exchange) -> object:
        waits.append(exchange)
        return await next_request(exchange)

    monkeypatch.setattr(Exchange, "next_request", counted)
    return lambda: len(waits)


async def test_the_standard_input_is_stored(command: Command, client: Client, unique: str) -> None:
    """The input is stored byte for byte, with --create in a new session; with the same id, once."""
    text = "Zürich\r\n👩‍👩‍👧\n"
    arguments = ("append", unique, "--create", "--user", "ada", "--role", "user", "--message-id", "m")
    for _ in range(2):
        shown = await command(*arguments, typed=text.encode())
        assert (shown.exit_code, shown.stdout) == (0, f"stored in {unique} as message 1, 4 tokens\n")
    message = await client.get_message(unique, message_id="m", user_id="ada")
    assert (message.role, message.content) == ("user", text)


@pytest.mark.parametrize("command_line", ["append {} --create", "fork {}-other --as {}"])
async def test_an_id_that_is_held(command: Command, client: Client, unique: str, command_line: str) -> None:
    """One line says until when a deleted session holds the id, and how to free it."""
    for session_id in (unique, f"{unique}-other"):
        await client.create_session(session_id)
    deleted = await client.delete_session(unique)
    assert deleted
    assert deleted.purge_time
    shown = await command(*command_line.format(unique, unique).split(), typed=b"hello")
    (line,) = shown.stderr.splitlines()
    assert (shown.exit_code, line.count(unique)) == (1, 1)
    assert f"until its purge_time, {deleted.purge_time:%Y-%m-%dT%H:%M:%S.%fZ}; restore or purge" in line
    assert line.endswith(" (`session-history undelete`, `session-history delete --purge`)")
    assert "missing" not in line


async def test_a_turn(command: Command, client: Client, unique: str) -> None:
    """Messages with one turn id are a turn, which a window shows as a whole."""
    for text in (b"first", b"second"):
        await command("append", unique, "--create", "--turn-id", "t", typed=text)
    await command("append", unique, "--turn-id", "u", typed=b"third")
    shown = await client.get_history(unique, max_turns=2)
    assert [message.turn_id for message in shown.messages] == ["t", "t", "u"]


async def test_as_json(command: Command, client: Client, unique: str) -> None:
    """With --json the output is the stored message."""
    shown = await command("append", unique, "--create", "--json", typed=b"hello")
    message = await client.get_message(unique, sequence=1)
    found = json.loads(shown.stdout)["message"]
    assert (found["message_id"], found["role"], found["content"]) == (
        message.message_id,
        "assistant",
        "hello",
    )


@pytest.mark.parametrize(
    ("typed", "rule", "kept"),
    [
        (b"x" * 20_000 + b"\xff" * 20_000, "is no UTF-8 text", 20_000),
        (b"abc\xc3", "is no UTF-8 text", 3),
        (b"a\xff", "is no UTF-8 text", 1),
        (b"ab\0c", "has a NUL character (U+0000), which no message may have", 2),
        (b"x" * 1_100_000, "must not make the message larger than 1048575 bytes", 1_032_192),
    ],
)
async def test_what_cannot_be_stored(
    command: Command, client: Client, unique: str, typed: bytes, rule: str, kept: int
) -> None:
    """The error names the reason, the kept beginning and its message id.

    With that id the right text replaces the beginning.
    """
    shown = await command("append", unique, "--create", typed=typed)
    (message,) = [message async for message in client.list_messages(unique)]
    assert (message.status, message.content) == ("interrupted", typed[:kept].decode())
    assert (shown.exit_code, shown.stdout) == (1, "")
    first = "first character is" if kept == 1 else f"first {kept:,} characters are"
    assert shown.stderr == (
        f"Error: the input {rule}; its {first} stored in {unique} as message 1, as"
        f" interrupted; appending the right text with --message-id {message.message_id} replaces that message"
        " while it is the last\n"
    )
    assert (
        await command("append", unique, "--message-id", message.message_id, typed=b"right")
    ).exit_code == 0
    (message,) = [message async for message in client.list_messages(unique)]
    assert (message.status, message.content) == ("complete", "right")


@pytest.mark.parametrize("typed", [b"\xff", b"\0", b"x" * 1_100_000])
async def test_what_cannot_be_stored_and_is_not_kept(
    command: Command, client: Client, unique: str, typed: bytes
) -> None:
    """With --drop nothing is stored, neither the session nor the message, and the error says so."""
    shown = await command("append", unique, "--create", "--drop", typed=typed)
    assert (shown.exit_code, shown.stderr.endswith("; nothing is stored\n")) == (1, True)
    assert not [session async for session in client.list_sessions() if session.session_id == unique]
    await command("append", unique, "--create", "--message-id", "m", typed=b"before")
    shown = await command("append", unique, "--message-id", "m", typed=b"a" + typed)
    assert (shown.exit_code, shown.stderr.endswith("; nothing is stored\n")) == (1, True)


async def test_an_empty_input(command: Command, client: Client, unique: str) -> None:
    """An empty input is refused, because a failed command may have written it.

    With --allow-empty it is stored.
    """
    shown = await command("append", unique, "--create")
    said = "Error: the input is empty, and --allow-empty is not given; nothing is stored\n"
    assert (shown.exit_code, shown.stdout, shown.stderr) == (1, "", said)
    assert not [session async for session in client.list_sessions() if session.session_id == unique]
    shown = await command("append", unique, "--create", "--allow-empty")
    assert (shown.exit_code, shown.stdout) == (0, f"stored in {unique} as message 1, 0 tokens\n")
    assert (await client.get_message(unique, sequence=1)).content == ""


async def test_a_closed_input(shared: Service, unique: str) -> None:
    """A closed input counts as an empty one."""
    script = f"{shlex.quote(str(COMMAND))} append {unique} --create <&-"
    variables = environment(SESSION_HISTORY_SERVER=shared.address)
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", script, env=variables, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert (process.returncode, errors) == (
        1,
        b"Error: the input is empty, and --allow-empty is not given; nothing is stored\n",
    )


async def test_an_application_needs_a_new_session(command: Command, unique: str) -> None:
    """--application needs --create, because an existing session keeps its application."""
    shown = await command("append", unique, "--application", "a", typed=b"hello")
    assert (shown.exit_code, "--application needs --create" in shown.stderr) == (2, True)


async def test_a_session_that_is_missing(command: Command, unique: str) -> None:
    """An append to a missing session fails with one line."""
    shown = await command("append", unique, typed=b"hello")
    assert shown.exit_code == 1
    assert f"no session '{unique}'" in shown.stderr


async def test_a_server_that_is_lost(
    shared: Service, client: Client, unique: str, read: Callable[[], int]
) -> None:
    """If the server is lost, the error says that the result is unknown, and how to store the text once."""
    async with relay(shared.address) as address:
        arguments = ("append", unique, "--create", "--server", address, "--timeout-seconds", "2")
        process = await asyncio.create_subprocess_exec(
            *(COMMAND, *arguments),
            env=environment(),
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdin
        process.stdin.write(b"hello")
        await process.stdin.drain()
        await until(lambda: read() == 3)  # the read after the header and the text
    _, errors = await asyncio.wait_for(process.communicate(b""), PATIENCE_SECONDS)
    told = re.fullmatch(
        rf"Error: .*{address}.*\. It is not known whether the message is stored: appending the same text with"
        r" --message-id (\S+) stores it once\n",
        errors.decode(),
    )
    assert told
    await until(lambda: not shared.stores_streams)
    assert [message.message_id async for message in client.list_messages(unique)] in ([], [told[1]])


@pytest.fixture
def interrupted(
    shared: Service, unique: str, read: Callable[[], int]
) -> Callable[..., Awaitable[tuple[int, str]]]:
    """Begins an append, stops it by Ctrl-C, and returns the exit code and the error."""

    async def run(*options: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(COMMAND, "append", unique, "--create", "--server", shared.address, *options),
            env=environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdin
        process.stdin.write(b"so far")
        await process.stdin.drain()
        await until(lambda: read() == 3)  # the read after the header and the text
        process.send_signal(signal.SIGINT)
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
        return process.returncode or 0, output.decode().strip()

    return run


async def test_an_interrupt(
    client: Client, unique: str, interrupted: Callable[..., Awaitable[tuple[int, str]]]
) -> None:
    """Ctrl-C keeps the text that has arrived, and the error says so."""
    assert await interrupted() == (
        130,
        f"Error: interrupted: the text that had arrived is stored in {unique} as message 1",
    )
    (message,) = [message async for message in client.list_messages(unique)]
    assert (message.content, message.status) == ("so far", "interrupted")


async def test_an_interrupt_that_drops(
    client: Client, unique: str, interrupted: Callable[..., Awaitable[tuple[int, str]]]
) -> None:
    """With --drop, Ctrl-C keeps nothing, and the error says so."""
    assert await interrupted("--drop") == (130, "Error: interrupted: nothing is stored")
    assert [session async for session in client.list_sessions(user_id=unique)] == []
