"""`session-history import`: files that end early, servers that go away, and interruptions."""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cli_import_support import HELLO, conversation, report

from sessionhistory import CreateSessionResult, SessionHistoryClient
from sessionhistory.errors import SessionNotFoundError, UnavailableError
from sessionhistory_cli.client.importing import importer
from sessionhistory_cli.client.importing.conversation_reader import ConversationReader
from sessionhistory_cli.client.importing.file_values import Place, Value
from sessionhistory_cli.client.importing.options import ImportOptions
from support.processes import COMMAND, environment
from support.relay import relay
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from click.testing import Result as Finished

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Command = Callable[..., Awaitable[Finished]]
    Write = Callable[..., Path]


async def test_a_compressed_file_by_any_name(
    command: Command, write: Write, tmp_path: Path, unique: str
) -> None:
    """Compression is detected by the file's content; a truncated file is imported as far as it goes."""
    noise = [HELLO | {"content": secrets.token_hex(100)} for _ in range(300)]
    lines = write(*(conversation(f"{unique}-{place}", message) for place, message in enumerate(noise)))
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(lines.read_bytes()))
    assert (await report(command, packed))["imported"] == 300
    (tmp_path / "cut").write_bytes(packed.read_bytes()[:-5_000])
    result = await command("import", tmp_path / "cut", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["finished"]) == (1, False)
    assert 0 < found["already_there"] < 300
    assert result.stderr.startswith("Error: the file is cut off or damaged")


class _Leaving(SessionHistoryClient):
    """Loses its server when it creates one session, after another session has its message."""

    gone, there = "", ""

    def create_session(
        self, session_id: str | None = None, *fields: Any, **options: Any
    ) -> CreateSessionResult:
        """Create a session, unless it is the one whose server is gone."""
        if session_id == self.gone:
            eventually(
                lambda: any(s.session_id == self.there and s.message_count for s in self.list_sessions())
            )
            raise UnavailableError("gone", code=grpc.StatusCode.UNAVAILABLE)
        return super().create_session(session_id, *fields, **options)


async def test_what_was_under_way_when_a_server_goes_away(shared: Service, unique: str) -> None:
    """The outcome of a conversation that was running when the server went away is reported too."""
    ids = [f"{unique}-{number}" for number in range(2)]
    lines = [json.dumps(conversation(ids[number])) for number in range(2)]
    values = [Value(Place(number), 0, json.loads(line)) for number, line in enumerate(lines)]

    def run() -> Iterator[str]:
        with _Leaving(shared.address) as client:
            client.gone, client.there = ids
            outcomes = importer.Importer(client).run(ConversationReader(values, ImportOptions()))
            found, outcome = next(outcomes)
            yield f"{found.place.number}: {outcome.result}"
            with pytest.raises(UnavailableError):
                next(outcomes)

    assert await asyncio.to_thread(list, run()) == ["1: imported"]


async def test_a_server_that_goes_away(shared: Service, client: Client, unique: str) -> None:
    """The output has the counts of stored conversations, and the error says how to go on.

    The same command then imports the rest.
    """
    lines = [json.dumps(conversation(f"{unique}-{number}")).encode() + b"\n" for number in range(2)]
    async with relay(shared.address) as address:
        process = await _import_from_a_pipe(address)
        assert process.stdin
        process.stdin.write(lines[0])
        await _is_stored(client, f"{unique}-0")
    out, err = await process.communicate(lines[1])
    assert process.returncode == 1
    assert out.decode() == "1 conversation imported\n1 message stored\n"
    (line,) = err.decode().splitlines()
    assert line.startswith(f"Error: no server answers at {address}")
    assert line.endswith("; then run the same command again: it goes on where it stopped")
    process = await _import_from_a_pipe(shared.address)
    out, err = await process.communicate(b"".join(lines))
    assert (process.returncode, err) == (0, b"")
    assert out.decode() == ("1 conversation imported\n1 conversation already there\n1 message stored\n")


async def _import_from_a_pipe(address: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(COMMAND, "import", "-", "--timeout-seconds", "1", "--server", address),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def _is_stored(client: Client, session_id: str) -> None:
    while True:
        with suppress(SessionNotFoundError):
            if (await client.get_session(session_id)).message_count:
                return
        await asyncio.sleep(0.01)


async def test_who_stops_it(shared: Service, client: Client, unique: str) -> None:
    """Ctrl-C lets running calls end, and the output has the counts."""
    process = await _import_from_a_pipe(shared.address)
    assert process.stdin
    process.stdin.write(json.dumps(conversation(unique)).encode() + b"\n")
    await _is_stored(client, unique)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 130
    assert out.decode() == "1 conversation imported\n1 message stored\n"
    assert err.decode() == "Error: interrupted: run the same command again: it goes on where it stopped\n"


@pytest.mark.parametrize("count", [20, 170])
async def test_a_file_of_something_else(command: Command, write: Write, unique: str, count: int) -> None:
    """The command stops after 20 invalid lines, and names the expected format and its description."""
    path = write(*["<li>"] * count, conversation(unique))
    result = await command("import", path)
    *skips, last = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (1, "20 lines skipped\n0 messages stored\n")
    assert [line.split(":")[0] for line in skips] == [f"line {number}" for number in range(1, 21)]
    assert last == (
        "Error: this does not look like conversations in JSON: `session-history import --help` describes them"
    )
    found = json.loads((await command("import", path, "--json")).stdout)
    assert (found["skipped"], found["imported"], found["finished"]) == (20, 0, False)


async def test_a_file_with_something_in_it(command: Command, write: Write, unique: str) -> None:
    """If one of the first lines is a conversation, all lines are read."""
    path = write(*["<li>"] * 19, conversation(f"{unique}-1"), *["<li>"] * 30, conversation(f"{unique}-2"))
    found = await report(command, path)
    assert (found["skipped"], found["imported"], found["finished"]) == (49, 2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument 'FILE'"),
        (["no-such-file"], "No such file"),
        (["."], "Is a directory"),
        (["/dev/null", "--user", ""], "--user: must not be empty"),
    ],
)
async def test_arguments_that_make_no_sense(command: Command, arguments: list[str], said: str) -> None:
    """Invalid arguments are refused in one line, with exit code 2."""
    result = await command("import", *arguments)
    (line,) = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (2, "")
    assert line.startswith("Error: ")
    assert said in line


async def test_a_file_without_anything(command: Command) -> None:
    """An empty file is imported without an error."""
    result = await command("import", "/dev/null")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "0 messages stored\n", "")
