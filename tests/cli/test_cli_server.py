"""How the commands find their server, and their errors if it does not answer."""

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

from sessionhistory_cli.interrupts import Interrupted
from support.processes import run
from support.proxy import free_port
from support.relay import relay
from support.tools import require

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from support.proxy_trap import ProxyTrap
    from support.service import Service

    Command = Callable[..., Awaitable[Result]]
    Serve = Callable[..., Awaitable[Service]]

_COMMANDS = (
    *("sessions", "show", "messages", "history", "append", "update", "truncate", "compact", "fork", "reset"),
    *("delete", "undelete", "import"),
)
_FORMATTED = ("sessions", "show", "messages", "history", "import")
"""The commands that format their output with the library of the terminal."""

_MORE = "these are the newest 1; --limit shows more\n"
_AGAIN = "; then run the same command again: it goes on where it stopped"


@pytest.fixture(params=_COMMANDS)
def arguments(request: pytest.FixtureRequest, write: Callable[..., Path]) -> list[str]:
    """Each command with the arguments that it needs, and a short deadline."""
    needed = {
        "sessions": [],
        "show": ["x"],
        "messages": ["x"],
        "history": ["x"],
        "append": ["x"],
        "update": ["x", "--title", "t"],
        "compact": ["x", str(write("so far")), "--through", "1"],
        "truncate": ["x", "--keep-through", "0", "--yes"],
        "fork": ["x"],
        "reset": ["x"],
        "delete": ["x"],
        "undelete": ["x"],
        "import": [str(write(conversation("x")))],
    }
    return [request.param, *needed[request.param], "--timeout-seconds", "1"]


def _told(result: Result) -> str:
    """Return the one line of an error; an import also says how to go on, and that it stored nothing."""
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert result.stdout == ("0 messages stored\n" if line.endswith(_AGAIN) else "")
    return line.removesuffix(_AGAIN)


async def test_nobody_listens(command: Command, arguments: list[str]) -> None:
    """The error names the address, and how to start a server or name another one."""
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
    """An invalid address is refused with the valid forms, and no connection is made."""
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
    """Every form of a gRPC target for the server works."""
    port = shared.address.rpartition(":")[2]
    result = await command("sessions", "--limit", "1", "--server", form.format(shared.address, port=port))
    assert (result.exit_code, result.stderr) in ((0, ""), (0, "no such sessions\n"), (0, _MORE))


@pytest.mark.parametrize("target", ["[::1]:{}", "ipv6:[::1]:{}", "dns:///[::1]:{}", "unix:/no/such/{}"])
async def test_a_target_where_nobody_is(command: Command, target: str) -> None:
    """A valid target without a server is tried."""
    address = target.format(free_port())
    arguments = ["sessions", "--timeout-seconds", "1", "--server", address]
    assert _told(await command(*arguments)).startswith(f"Error: no server answers at {address}: ")


async def test_nobody_answers(command: Command, arguments: list[str]) -> None:
    """If a server accepts connections but does not answer, the error names the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert _told(await command(*arguments, "--server", address)) == (
            f"Error: no answer from {address} within 1 second: is --server right?"
            " --timeout-seconds gives it longer"
        )


async def test_somebody_else_answers(command: Command, arguments: list[str]) -> None:
    """A gRPC server without our service gets an error of its own."""
    other = grpc.aio.server()
    address = f"127.0.0.1:{other.add_insecure_port('127.0.0.1:0')}"
    await other.start()
    said = _told(await command(*arguments, "--server", address))
    assert said == f"Error: another service answers at {address}: name the right --server"
    await other.stop(None)


async def test_a_server_without_its_database(command: Command, arguments: list[str], serve: Serve) -> None:
    """The server's own reason is printed."""
    away = await serve(f"postgresql://u@127.0.0.1:{free_port()}/d", serving=False)
    said = _told(await command(*arguments, "--server", away.address))
    assert said.startswith(f"Error: {away.address} cannot do this now (DATABASE_UNAVAILABLE): the database")


async def test_a_server_that_wants_to_know_the_user(
    command: Command, serve: Serve, database_url: str
) -> None:
    """A missing user counts as a wrong argument, and the error names the option."""
    strict = await serve(database_url, require_user_id=True)
    for arguments in (["sessions"], ["history", "x"]):
        result = await command(*arguments, "--server", strict.address)
        assert (result.exit_code, result.stderr) == (
            2,
            "Error: --user: is required: each call must name its user\n",
        )
    result = await command("sessions", "--user", "ada", "--server", strict.address)
    assert (result.exit_code, result.stderr) == (0, "no such sessions\n")


async def test_a_flag_is_stronger_than_the_environment(command: Command, shared: Service) -> None:
    """A flag takes precedence over the environment; without both the default of `serve` is used."""
    nowhere = {"SESSION_HISTORY_SERVER": "127.0.0.1:1"}
    assert (await command("sessions", "--server", shared.address, **nowhere)).exit_code == 0
    assert "[env var: SESSION_HISTORY_SERVER; default: 127.0.0.1:50051]" in " ".join(
        (await command("sessions", "--help")).stdout.split()
    )


async def test_tls(shared: Service, tmp_path: Path) -> None:
    """With --tls the command accepts only a server whose certificate the system trusts."""
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
    assert done.stderr.startswith(
        f"Error: the certificate of {address} is of no authority that this system trusts ("
    )


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "3601"])
async def test_a_patience_that_makes_no_sense(command: Command, seconds: str) -> None:
    """An invalid deadline is refused with the valid range."""
    result = await command("sessions", "--timeout-seconds", seconds)
    assert result.exit_code == 2
    assert "'--timeout-seconds'" in result.stderr


@pytest.mark.parametrize("name", _FORMATTED)
def test_without_the_library_of_the_terminal(name: str) -> None:
    """Without the terminal's library the error names the extra; the server's packages are not needed."""
    program = (
        "import sys; sys.modules['rich'] = None; from sessionhistory_cli.__main__ import main;"
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
    """The message about an interrupt begins on a line of its own after ^C."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    Interrupted("interrupted").show()
    assert capsys.readouterr().err == f"{before}Error: interrupted\n"


@pytest.mark.parametrize("name", ["sessions", "health"])
async def test_where_there_is_a_proxy(
    command: Command, shared: Service, proxy_trap: ProxyTrap, name: str
) -> None:
    """A server on loopback is called directly; another one through the proxy."""
    assert (await command(name, "--server", shared.address)).exit_code == 0
    assert not proxy_trap.was_asked
    elsewhere = asyncio.create_task(command(name, "--server", "history.invalid:50051"))
    assert await asyncio.to_thread(proxy_trap.first_line) == "CONNECT history.invalid:50051 HTTP/1.1"
    assert (await elsewhere).exit_code == 1
