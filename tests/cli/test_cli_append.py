"""`session-history append`: the standard input becomes a message."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

import pytest

from sessionhistory_server.rpc.pieces import OpenStreams
from support.processes import COMMAND, PATIENCE_SECONDS, environment
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
    waits: list[float | None] = []
    wait = OpenStreams.wait

    async def counted(streams: OpenStreams, awaitable: Awaitable[object], seconds: float | None) -> object:
        waits.append(seconds)
        return await wait(streams, awaitable, seconds)

    monkeypatch.setattr(OpenStreams, "wait", counted)
    return lambda: len(waits)


async def test_the_standard_input_is_stored(command: Command, client: Client, unique: str) -> None:
    """Byte for byte, in a session that is made if that is asked for; and again with the same id."""
    text = "Zürich\r\n👩‍👩‍👧\n"
    arguments = ("append", unique, "--create", "--user", "ada", "--role", "user", "--message-id", "m")
    for _ in range(2):
        shown = await command(*arguments, typed=text.encode())
        assert (shown.exit_code, shown.stdout) == (0, f"stored in {unique} as message 1, 4 tokens\n")
    message = await client.get_message(unique, message_id="m", user_id="ada")
    assert (message.role, message.content) == ("user", text)


async def test_a_turn(command: Command, client: Client, unique: str) -> None:
    """Messages with one turn id are a turn, which a window shows whole."""
    for text in (b"first", b"second"):
        await command("append", unique, "--create", "--turn-id", "t", typed=text)
    await command("append", unique, "--turn-id", "u", typed=b"third")
    shown = await client.get_history(unique, max_turns=2)
    assert [message.turn_id for message in shown.messages] == ["t", "t", "u"]


async def test_as_json(command: Command, client: Client, unique: str) -> None:
    """The message as it is stored."""
    shown = await command("append", unique, "--create", "--json", typed=b"hello")
    message = await client.get_message(unique, sequence=1)
    found = json.loads(shown.stdout)["message"]
    assert (found["message_id"], found["role"], found["content"]) == (
        message.message_id,
        "assistant",
        "hello",
    )


async def test_what_is_no_text(command: Command, client: Client, unique: str) -> None:
    """It is said so; what came before it is kept, as interrupted, or dropped."""
    for options in ((), ("--drop",)):
        shown = await command("append", unique, "--create", *options, typed=b"kept" + b"x" * 20_000 + b"\xff")
        assert (shown.exit_code, shown.stderr) == (1, "Error: the standard input is no UTF-8 text\n")
    (message,) = [message async for message in client.list_messages(unique)]
    assert message.status == "interrupted"
    assert (message.content or "").startswith("kept")


async def test_a_session_that_is_missing(command: Command, unique: str) -> None:
    """Nothing is read."""
    shown = await command("append", unique, typed=b"hello")
    assert shown.exit_code == 1
    assert f"no session '{unique}'" in shown.stderr


@pytest.fixture
def interrupted(
    shared: Service, unique: str, read: Callable[[], int]
) -> Callable[..., Awaitable[tuple[int, str]]]:
    """Begins an append, stops it by Ctrl-C, and returns its exit code and what it says."""

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
        await until(lambda: read() == 3)  # what comes after the header and the text
        process.send_signal(signal.SIGINT)
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
        return process.returncode or 0, output.decode().strip()

    return run


async def test_an_interrupt(
    client: Client, unique: str, interrupted: Callable[..., Awaitable[tuple[int, str]]]
) -> None:
    """Ctrl-C keeps what had arrived, and says so."""
    assert await interrupted() == (
        130,
        f"Error: interrupted: what had arrived is stored in {unique} as message 1",
    )
    (message,) = [message async for message in client.list_messages(unique)]
    assert (message.content, message.status) == ("so far", "interrupted")


async def test_an_interrupt_that_drops(
    client: Client, unique: str, interrupted: Callable[..., Awaitable[tuple[int, str]]]
) -> None:
    """With --drop, Ctrl-C leaves nothing, and says so."""
    assert await interrupted("--drop") == (130, "Error: interrupted: nothing is stored")
    assert [session async for session in client.list_sessions(user_id=unique)] == []
