"""How the commands find their server, and what they say if it does not answer."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import grpc.aio
import pytest
from cli_import_support import conversation

from sessionhistory.cli._server import Interrupted
from support.processes import run
from support.proxy import free_port
from support.relay import relay
from support.tools import require

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from support.service import Service

    Command = Callable[..., Awaitable[Result]]
    Serve = Callable[..., Awaitable[Service]]

_COMMANDS = ("sessions", "history", "append", "update", "truncate", "compact", "fork", "reset", "import")
_MORE = "these are the newest 1; --limit shows more\n"
_AGAIN = "; then run the same command again: it goes on where it stopped"


@pytest.fixture(params=_COMMANDS)
def arguments(request: pytest.FixtureRequest, write: Callable[..., Path]) -> list[str]:
    """Each command with what it needs, and little patience."""
    needed = {
        "sessions": [],
        "history": ["x"],
        "append": ["x"],
        "update": ["x", "--title", "t"],
        "compact": ["x", str(write("so far")), "--through", "1"],
        "truncate": ["x", "--after", "0", "--yes"],
        "fork": ["x"],
        "reset": ["x"],
        "import": [str(write(conversation("x")))],
    }
    return [request.param, *needed[request.param], "--timeout-seconds", "1"]


def _told(result: Result) -> str:
    """Return the one line of an error; an import says how to go on, and that nothing was stored."""
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert result.stdout == ("0 messages stored\n" if line.endswith(_AGAIN) else "")
    return line.removesuffix(_AGAIN)


async def test_nobody_listens(command: Command, arguments: list[str]) -> None:
    """It is said where a server was looked for, and how to start or name one."""
    address = f"127.0.0.1:{free_port()}"
    assert _told(await command(*arguments, "--server", address)) == (
        f"Error: no server answers at {address}: start one with `session-history serve`,"
        " or name it with --server"
    )


@pytest.mark.parametrize(
    "target",
    [
        *(
            "",
            " ",
            "localhost",
            "http://127.0.0.1:1",
            "127.0.0.1:1/x",
            "127.0.0.1:http",
            "127.0.0.1:0",
            "::1:1",
        ),
        *(
            "a b:1",
            "dns:",
            "dns:///localhost",
            "ipv4:",
            "ipv4:localhost:1",
            "ipv4:127.0.0.1:1,",
            "ipv6:::1",
            "unix:",
        ),
    ],
)
async def test_an_address_that_makes_no_sense(command: Command, arguments: list[str], target: str) -> None:
    """Nobody is looked for there; it is said what it must look like."""
    result = await command(*arguments, "--server", target)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "Error: Invalid value for '--server' (env var: 'SESSION_HISTORY_SERVER'): must be HOST:PORT,"
        " or one of dns:///HOST:PORT, ipv4:ADDRESS:PORT, ipv6:[ADDRESS]:PORT, unix:PATH\n"
    )


@pytest.mark.parametrize(
    "form", ["{}", "dns:{}", "dns:///{}", "ipv4:{}", "ipv4:127.0.0.1:1,{}", "localhost:{port}"]
)
async def test_a_target_of_grpc(command: Command, shared: Service, form: str) -> None:
    """Whatever names the server well finds it."""
    port = shared.address.rpartition(":")[2]
    result = await command("sessions", "--limit", "1", "--server", form.format(shared.address, port=port))
    assert (result.exit_code, result.stderr) in ((0, ""), (0, "no such sessions\n"), (0, _MORE))


@pytest.mark.parametrize("target", ["[::1]:{}", "ipv6:[::1]:{}", "dns:///[::1]:{}", "unix:/no/such/{}"])
async def test_a_target_where_nobody_is(command: Command, target: str) -> None:
    """It makes sense, so that it is asked."""
    address = target.format(free_port())
    arguments = ["sessions", "--timeout-seconds", "1", "--server", address]
    assert _told(await command(*arguments)).startswith(f"Error: no server answers at {address}: ")


async def test_nobody_answers(command: Command, arguments: list[str]) -> None:
    """Where somebody listens and says nothing, the patience is named that is at an end."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert _told(await command(*arguments, "--server", address)) == (
            f"Error: no answer from {address} within 1 second: is --server right?"
            " --timeout-seconds gives it longer"
        )


async def test_somebody_else_answers(command: Command, arguments: list[str]) -> None:
    """A gRPC server of something else is told apart from none."""
    other = grpc.aio.server()
    address = f"127.0.0.1:{other.add_insecure_port('127.0.0.1:0')}"
    await other.start()
    said = _told(await command(*arguments, "--server", address))
    assert said == f"Error: what answers at {address} is another service: name the right --server"
    await other.stop(None)


async def test_a_server_without_its_database(command: Command, arguments: list[str], serve: Serve) -> None:
    """The server's own reason is passed on."""
    away = await serve(f"postgresql://u@127.0.0.1:{free_port()}/d", serving=False)
    said = _told(await command(*arguments, "--server", away.address))
    assert said.startswith(f"Error: {away.address} cannot do this now (DATABASE_UNAVAILABLE): the database")


async def test_a_server_that_wants_to_know_the_user(
    command: Command, serve: Serve, database_url: str
) -> None:
    """It is the arguments that are at fault, and they can be mended."""
    strict = await serve(database_url, require_user_id=True)
    for arguments in (["sessions"], ["history", "x"]):
        result = await command(*arguments, "--server", strict.address)
        assert (result.exit_code, result.stderr) == (2, "Error: user_id: is required by this server\n")
    result = await command("sessions", "--user", "ada", "--server", strict.address)
    assert (result.exit_code, result.stderr) == (0, "no such sessions\n")


async def test_a_flag_is_stronger_than_the_environment(command: Command, shared: Service) -> None:
    """As everywhere; without either it is the address that `serve` has by default."""
    nowhere = {"SESSION_HISTORY_SERVER": "127.0.0.1:1"}
    assert (await command("sessions", "--server", shared.address, **nowhere)).exit_code == 0
    assert "[env var: SESSION_HISTORY_SERVER; default: 127.0.0.1:50051]" in " ".join(
        (await command("sessions", "--help")).stdout.split()
    )


async def test_tls(shared: Service, tmp_path: Path) -> None:
    """With --tls a server is asked whose certificate this system trusts, and no other."""
    require("openssl", path="/usr/bin:/usr/local/bin")
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    subject = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    await asyncio.to_thread(subprocess.run, [*make, *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    async with relay(shared.address, tls=context) as address:
        arguments = ["sessions", "--limit", "1", "--tls", "--timeout-seconds", "5", "--server", address]
        trusted = {"SSL_CERT_FILE": str(certificate)}
        done = await asyncio.to_thread(run, *arguments, variables=trusted)
        assert done.returncode == 0, done.stderr
        done = await asyncio.to_thread(run, *arguments, "--timeout-seconds", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: no server answers at {address} with TLS: start one with `session-history serve`,"
        " or name it with --server\n"
    )


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "3601"])
async def test_a_patience_that_makes_no_sense(command: Command, seconds: str) -> None:
    """It is refused, with what it may be."""
    result = await command("sessions", "--timeout-seconds", seconds)
    assert result.exit_code == 2
    assert "'--timeout-seconds'" in result.stderr


@pytest.mark.parametrize("name", _COMMANDS)
def test_without_the_library_of_the_terminal(name: str) -> None:
    """It is said which extra brings it; nothing of the server is needed."""
    program = (
        "import sys; sys.modules['rich'] = None; from sessionhistory_server.__main__ import main;"
        f"sys.argv[1:] = ['{name}', '--help']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert re.fullmatch(r"Error: rich\S* is missing: install session-history\[cli\]\n", done.stderr)


@pytest.mark.parametrize(("terminal", "before"), [(True, "\n"), (False, "")])
def test_an_interrupt_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, terminal: bool, before: str
) -> None:
    """What is said of it does not stand behind the ^C."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    Interrupted("interrupted").show()
    assert capsys.readouterr().err == f"{before}Error: interrupted\n"
