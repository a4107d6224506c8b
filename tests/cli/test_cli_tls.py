"""The commands with TLS: the files that options, variables and contexts name, and the errors of TLS."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from support.certificates import Authority, Pair
from support.proxy import free_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from support.service import Service

    Command = Callable[..., Awaitable[Result]]
    Serve = Callable[..., Awaitable[Service]]

_SESSIONS = ("sessions", "--limit", "1", "--timeout-seconds", "5")
_NONE = "no such sessions\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority of the server and of its clients."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def client(authority: Authority) -> Pair:
    """The certificate of a client."""
    return authority.issue("client", "client.example")


@pytest_asyncio.fixture
async def secure(serve: Serve, database_url: str, authority: Authority) -> str:
    """The address of a server with TLS."""
    settings = authority.issue("server").settings
    return (await serve(database_url, credentials=authority.credentials(), **settings)).address


@pytest_asyncio.fixture
async def mutual(serve: Serve, database_url: str, authority: Authority, client: Pair) -> str:
    """The address of a server that requires a certificate of its clients."""
    settings = authority.issue("server").settings | {"tls_client_ca": authority.ca}
    return (await serve(database_url, credentials=authority.credentials(client), **settings)).address


def _error(result: Result, code: int = 1) -> str:
    assert (result.exit_code, result.stdout) == (code, "")
    (line,) = result.stderr.splitlines()
    return line.removeprefix("Error: ")


async def _list(command: Command, address: str, *options: str | Path, **variables: str) -> Result:
    return await command(*_SESSIONS, "--server", address, *options, **variables)


async def test_files_by_options_and_by_variables(
    command: Command, mutual: str, authority: Authority, client: Pair
) -> None:
    """The files of TLS are named by options or by variables; each switches TLS on."""
    result = await _list(command, mutual, "--ca", authority.ca, "--cert", client.cert, "--key", client.key)
    assert (result.exit_code, result.stderr) == (0, _NONE)
    variables = authority.variables(client)
    assert (await _list(command, mutual, **variables)).stderr == _NONE
    assert "uses TLS" in _error(await _list(command, mutual, "--plaintext", **variables))


@pytest.mark.parametrize("name", ["sessions", "health"])
async def test_a_server_that_cannot_be_called_so(
    command: Command, shared: Service, secure: str, authority: Authority, tmp_path: Path, name: str
) -> None:
    """The error names the fault of TLS and the remedy."""
    strangers = Authority(tmp_path / "strangers")

    async def fault(address: str, *options: str | Path) -> str:
        limit = ("--timeout-seconds", "1") if name == "sessions" else ()
        return _error(await command(name, *limit, "--server", address, *options))

    assert await fault(secure) == (
        f"the server at {secure} uses TLS: add --tls, or name its authority with --ca"
    )
    assert await fault(shared.address, "--tls") == (
        f"the server at {shared.address} does not use TLS: call it with --plaintext"
    )
    unknown = await fault(secure, "--ca", strangers.ca)
    assert unknown.startswith(f"the certificate of {secure} is of no authority in {strangers.ca} (")
    assert unknown.endswith("): name its authority with --ca")
    unknown = await fault(secure, "--tls")
    assert unknown.startswith(f"the certificate of {secure} is of no authority that this system trusts (")
    nobody = f"127.0.0.1:{free_port()}"
    assert (await fault(nobody, "--ca", authority.ca)).startswith(("no server answers at", "no answer from"))


async def test_a_certificate_that_is_not_valid(
    command: Command, serve: Serve, database_url: str, authority: Authority
) -> None:
    """The error says that the certificate has expired, or is for another host."""
    said = {}
    for name, days, hosts in (("expired", -1, ()), ("elsewhere", 9, ("history.example",))):
        pair = authority.issue(name, *hosts, days=days)
        service = await serve(database_url, serving=False, **pair.settings)
        result = await _list(command, service.address, "--ca", authority.ca, "--timeout-seconds", "1")
        said[name] = _error(result).removeprefix(f"the certificate of {service.address} ")
    assert said == {
        "expired": "has expired: its operator must replace it",
        "elsewhere": "is for another host: call the server by a name of its certificate",
    }


async def test_a_certificate_of_the_client_that_is_missing(
    command: Command, mutual: str, authority: Authority, tmp_path: Path
) -> None:
    """The error says that the server requires a certificate, or refuses the one that was named."""
    trust = ("--ca", authority.ca, "--timeout-seconds", "1")
    assert _error(await _list(command, mutual, *trust)) == (
        f"the server at {mutual} requires a certificate of the client: name it with --cert and --key"
    )
    other = Authority(tmp_path / "strangers").issue("eve", "client.example")
    assert _error(await _list(command, mutual, *trust, "--cert", other.cert, "--key", other.key)) == (
        f"the server at {mutual} does not accept the certificate in {other.cert}"
    )


async def test_options_that_cannot_be_used(
    command: Command, authority: Authority, client: Pair, tmp_path: Path
) -> None:
    """A missing or wrong file is named, and a contradiction is refused, before any call."""
    nowhere = tmp_path / "nowhere.pem"
    cases: dict[tuple[str | Path, ...], str] = {
        ("--ca", nowhere): f"{nowhere} cannot be read: No such file or directory",
        ("--ca", client.key): f"{client.key} has no valid certificates: name a file in PEM",
        ("--cert", client.cert): "a certificate needs its key: name both files, or neither",
        ("--cert", authority.ca, "--key", client.key): (
            f"{authority.ca} and {client.key} are no certificate and its key: name files in PEM"
        ),
    }
    for options, said in cases.items():
        assert _error(await _list(command, "127.0.0.1:1", *options), 2) == f"--ca, --cert, --key: {said}"
    result = await _list(command, "127.0.0.1:1", "--plaintext", "--ca", authority.ca)
    assert _error(result, 2) == "--plaintext excludes --ca, --cert and --key"


async def test_a_context(
    command: Command,
    contexts: Callable[..., Path],
    mutual: str,
    secure: str,
    authority: Authority,
    client: Pair,
) -> None:
    """A context replaces the variables; options that are typed replace single values of it."""
    contexts(
        f'[mutual]\nserver = "{mutual}"\nca = "../authority/ca.pem"\n'
        f'cert = "{client.cert}"\nkey = "{client.key}"\n'
        f'[secure]\nserver = "{secure}"\ntls = true\n'
    )
    variables = {"SESSION_HISTORY_SERVER": "127.0.0.1:1", "SESSION_HISTORY_TLS": "false"}
    by_option = await command(*_SESSIONS, "--context", "mutual", **variables)
    by_variable = await command(*_SESSIONS, SESSION_HISTORY_CONTEXT="mutual", **variables)
    assert by_option.stderr == by_variable.stderr == _NONE
    mixed = await command(*_SESSIONS, "--context", "secure", "--ca", str(authority.ca), **variables)
    assert mixed.stderr == _NONE
    assert (await command("health", "--context", "mutual")).exit_code == 0


async def test_a_server_that_is_typed_gets_nothing_of_a_context(
    command: Command, contexts: Callable[..., Path], mutual: str, authority: Authority, client: Pair
) -> None:
    """The certificate of a context goes to the context's server only."""
    contexts(
        f'[mutual]\nserver = "x:1"\nca = "{authority.ca}"\ncert = "{client.cert}"\nkey = "{client.key}"\n'
    )
    result = await _list(command, mutual, "--ca", authority.ca, SESSION_HISTORY_CONTEXT="mutual")
    assert "requires a certificate of the client" in _error(result)
    result = await _list(command, mutual, "--context", "mutual")
    assert _error(result, 2) == "--server and --context exclude each other: a context names its server"


_SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ('[a]\nserver = "h:1"\n', 0o644, "other users may read or change {file}: run chmod 600 '{file}'"),
        ('[a]\nserver = "h:1"\n', 0o620, "other users may read or change {file}: run chmod 600 '{file}'"),
        (f'[b]\nserver = "{_SECRET}"\n', 0o600, "no context 'a' in {file}; it has: b"),
        (
            f'[a]\npassword = "{_SECRET}"\n',
            0o600,
            "{file}: a: password is unknown or of another type;",
        ),
        (f'[a]\nserver = "h:1"\ntls = "{_SECRET}"\n', 0o600, "{file}: a: tls is unknown or of another type;"),
        ("[a]\ntls = true\n", 0o600, "{file}: a: server is missing"),
        (f'a = "{_SECRET}"\n', 0o600, "{file}: a must be a table: [a]"),
        (f"[a]\nserver = {_SECRET}\n", 0o600, "{file} is not valid TOML (line 2, column 10)"),
        (f'[a]\nserver = "{_SECRET}"\n', 0o600, "the server of the context a must be HOST:PORT, or one of"),
    ],
)
async def test_a_file_of_contexts_that_cannot_be_used(
    command: Command, contexts: Callable[..., Path], text: str, mode: int, said: str
) -> None:
    """The error names the file and the remedy, and quotes no value."""
    file = contexts(text, mode)
    error = _error(await command(*_SESSIONS, "--context", "a"), 2)
    assert error.startswith(said.format(file=file))
    assert _SECRET not in error


async def test_no_file_of_contexts(command: Command, contexts: Callable[..., Path]) -> None:
    """The error says where the file is expected."""
    file = contexts("")
    await asyncio.to_thread(file.unlink)
    assert _error(await command(*_SESSIONS, "--context", "a"), 2) == (
        f"the contexts cannot be read from {file}: No such file or directory"
    )
