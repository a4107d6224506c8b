"""`session-history serve` as a process with its embedded Postgres."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sessionhistory.v1 import message_pb2, session_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.certificates import Authority
from support.databases import execute
from support.locks import locked
from support.processes import run
from support.proxy import free_port
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.processes import Server

    Start = Callable[..., Server]


@pytest.fixture(params=["1", "2"], ids=["one worker", "two workers"])
def workers(request: pytest.FixtureRequest) -> str:
    """How many worker processes: each test holds for one and for several."""
    return str(request.param)


@pytest.fixture
def start(start: Start, workers: str) -> Start:
    """Starts servers, and ends them after the test."""
    return partial(start, "--workers", workers)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory that does not exist yet, on a path with awkward characters."""
    return tmp_path / "with space 'quoted' 履歴" / "data"


def _append(message_id: str) -> pb.AppendMessageRequest:
    message = message_pb2.Message(message_id=message_id, role=message_pb2.ROLE_USER, content=message_id)
    return pb.AppendMessageRequest(session_id="s", message=message, new_session=session_pb2.SessionFields())


def _ids(server: Server) -> list[str]:
    found = server.stub().ListMessages(pb.ListMessagesRequest(session_id="s"))
    return [message.message_id for message in found.messages]


def _processes(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").resolve().is_relative_to(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _socket_folder(data_dir: Path) -> Path:
    return Path((data_dir / "lock").read_text().split("\n")[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_nothing_and_the_next_start_has_the_data(
    start: Start, data_dir: Path, number: signal.Signals
) -> None:
    """Ctrl-C or SIGTERM ends server and Postgres with exit code 0; a second start finds the messages."""
    server = start("--data-dir", data_dir)
    server.stub().AppendMessage(_append("kept"))
    sockets = _socket_folder(data_dir)
    assert sockets.exists()
    server.signal(number)
    assert server.wait() == 0, server.log
    assert not _processes(data_dir)
    assert not sockets.exists()
    assert [event["event"] for event in server.events][-2:] == ["stopping", "stopped"]
    assert _ids(start("--data-dir", data_dir)) == ["kept"]


def test_everything_killed(start: Start, data_dir: Path) -> None:
    """After a kill -9 of server and Postgres the next start has every acknowledged message."""
    server = start("--data-dir", data_dir)
    server.stub().AppendMessage(_append("kept"))
    for pid in (server.process.pid, *_processes(data_dir)):
        with suppress(ProcessLookupError):  # Postgres ends by itself after the server
            os.kill(pid, signal.SIGKILL)
    server.wait()
    assert _ids(start("--data-dir", data_dir)) == ["kept"]


def _postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])


def test_a_killed_postgres_is_started_again(start: Start, data_dir: Path) -> None:
    """A killed Postgres is restarted with a log line, and has every acknowledged message."""
    server = start("--data-dir", data_dir)
    server.stub().AppendMessage(_append("kept"))
    os.kill(_postmaster(data_dir), signal.SIGKILL)
    server.wait_for("the embedded Postgres ended (SIGKILL): starting it again")
    server.wait_for("seconds without it")
    assert _ids(server) == ["kept"]


def test_a_stop_while_postgres_starts_again(start: Start, data_dir: Path) -> None:
    """A stop during the restart of Postgres ends the server with 0 and leaves no process."""
    server = start("--data-dir", data_dir)
    server.stub()
    os.kill(_postmaster(data_dir), signal.SIGKILL)
    server.wait_for("starting it again")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0, server.log
    assert not _processes(data_dir)


_UNENCRYPTED = "calls are not encrypted: other machines may read those to"
_UNAUTHENTICATED = "callers are not authenticated: anyone who reaches"


@pytest.mark.parametrize(
    ("host", "flags", "warnings"),
    [
        ("127.0.0.1", [], []),
        ("localhost", [], []),
        ("0.0.0.0", ["--plaintext", "--auth", "keys"], []),
        ("0.0.0.0", ["--insecure"], [_UNENCRYPTED, _UNAUTHENTICATED]),
        ("0.0.0.0", ["--insecure", "--auth", "keys"], [_UNENCRYPTED]),
        ("0.0.0.0", ["--insecure", "tls"], [_UNAUTHENTICATED]),
        ("0.0.0.0", ["tls", "--auth", "keys"], []),
        ("0.0.0.0", ["tls", "mutual"], []),
    ],
)
def test_a_server_that_other_machines_can_reach(
    start: Start, database_url: str, tmp_path: Path, host: str, flags: list[str], warnings: list[str]
) -> None:
    """A server that other machines can reach logs which protection it lacks, once."""
    authority = Authority(tmp_path / "authority")
    files = {"tls": authority.issue("server").flags, "mutual": ("--tls-client-ca", authority.ca)}
    given = [word for flag in flags for word in files.get(flag, (flag,))]
    server = start("--database-url", database_url, "--listen", f"{host}:0", *given)
    server.address()
    logged = [event["event"] for event in server.events if event["level"] == "warning"]
    assert len(logged) == len(warnings)
    assert all(event.startswith(warning) for event, warning in zip(logged, warnings, strict=True))


@pytest.mark.parametrize(
    ("protection", "missing"),
    [
        (
            ("--auth", "keys"),
            (
                "and calls to it are not encrypted: set --tls-cert and --tls-key, or --plaintext if TLS ends"
                " before this server"
            ),
        ),
        (
            ("--plaintext",),
            "and callers are not authenticated: set --auth or --tls-client-ca",
        ),
    ],
)
def test_a_server_without_a_protection(
    data_dir: Path, workers: str, protection: tuple[str, ...], missing: str
) -> None:
    """An address that other machines can reach is refused with the ways out, and creates no database."""
    flags = ("--data-dir", data_dir, "--workers", workers, "--metrics-listen", "off", *protection)
    done = run("serve", *flags, "--listen", "0.0.0.0:0")
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: other machines can reach 0.0.0.0:0, {missing}; --insecure serves nonetheless\n"
    )
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--tls-cert", "/nowhere/cert.pem", "--tls-key", "/nowhere/key.pem"],
            "--tls-cert: /nowhere/cert.pem cannot be read (No such file or directory)",
        ),
        (["--tls-cert", "/nowhere/cert.pem"], "TLS needs both --tls-cert and --tls-key"),
        (
            ["--tls-cert", "/a", "--tls-key", "/b", "--plaintext"],
            "--plaintext and --tls-cert exclude each other",
        ),
    ],
)
def test_certificates_that_cannot_be_used(data_dir: Path, flags: list[str], said: str) -> None:
    """A server without usable certificates does not start, and says why in one line."""
    done = run("serve", "--data-dir", data_dir, "--listen", "127.0.0.1:0", "--metrics-listen", "off", *flags)
    assert (done.returncode, done.stderr) == (1, f"Error: {said}\n")
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--auth", "jwt"], "--auth jwt needs --jwt-issuer"),
        (["--jwt-audience", "a"], "--jwt-audience needs --auth jwt"),
        (
            ["--auth", "jwt", "--jwt-issuer", "i", "--jwt-audience", "a", "--jwt-jwks", "/nowhere/keys.json"],
            "--jwt-jwks cannot be read (No such file or directory)",
        ),
    ],
)
def test_settings_of_tokens_that_cannot_be_used(data_dir: Path, flags: list[str], said: str) -> None:
    """The same holds for them."""
    done = run("serve", "--data-dir", data_dir, "--listen", "127.0.0.1:0", "--metrics-listen", "off", *flags)
    assert (done.returncode, done.stderr) == (1, f"Error: {said}\n")
    assert not data_dir.exists()


def test_a_second_server_on_one_data_directory_says_why_not(
    start: Start, data_dir: Path, workers: str
) -> None:
    """A second server on the data directory ends with one line that names the first, which goes on."""
    first = start("--data-dir", data_dir)
    stub = first.stub()
    flags = ("--data-dir", data_dir, "--listen", "127.0.0.1:0", "--metrics-listen", "off")
    second = run("serve", *flags, "--workers", workers, "--log-format", "json")
    assert second.returncode == 1
    *_, line = second.stderr.splitlines()
    assert line.startswith(f"Error: process {first.process.pid} already serves {data_dir}")
    stub.AppendMessage(_append("still"))


def test_calls_under_way_are_answered_at_sigterm(start: Start, database_url: str) -> None:
    """An append that runs at SIGTERM is committed and answered; then the server ends with exit code 0."""
    server = start("--database-url", database_url)
    stub = server.stub()
    stub.AppendMessage(_append("first"))
    with locked(database_url):
        call = stub.AppendMessage.future(_append("second"))
        _until_waiting(database_url)
        server.signal(signal.SIGTERM)
        server.wait_for("stopping")
        assert server.process.poll() is None
    assert call.result().message.sequence == 2
    assert server.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_wait(start: Start, database_url: str, number: signal.Signals) -> None:
    """A second signal ends the server at once, in spite of running calls."""
    server = start("--database-url", database_url, "--drain-seconds", "600")
    server.stub()
    server.signal(number)
    server.wait_for("stopping")
    server.signal(number)
    assert server.wait() in {1, 130, -number}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts(start: Start, data_dir: Path, number: signal.Signals) -> None:
    """A server that is stopped while its Postgres is created leaves no process; the next start works."""
    server = start("--data-dir", data_dir)
    server.wait_for("creating a new database")
    server.signal(number)
    server.wait()
    assert not _processes(data_dir)
    start("--data-dir", data_dir).stub().AppendMessage(_append("m"))


@pytest.mark.parametrize("others", ["1", "2"])
def test_two_servers_on_one_port(start: Start, database_url: str, others: str) -> None:
    """The second server ends with one line that names the address; the first goes on."""
    first = start("--database-url", database_url)
    address = first.address()
    flags = ("--database-url", database_url, "--listen", address, "--metrics-listen", "off")
    second = run("serve", *flags, "--workers", others)
    assert second.returncode == 1
    assert second.stderr == (
        f"Error: cannot serve gRPC on {address}: Address already in use; --listen sets another address\n"
    )
    first.stub().AppendMessage(_append("m"))


@pytest.mark.parametrize("what", ["gRPC", "metrics"])
def test_a_port_that_is_taken_is_known_before_a_database_is_made(
    data_dir: Path, workers: str, what: str
) -> None:
    """If the port is taken, the server ends with one line that names the address, and creates nothing."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        listen, metrics = (address, "off") if what == "gRPC" else ("127.0.0.1:0", address)
        flags = ("--data-dir", data_dir, "--workers", workers)
        done = run("serve", *flags, "--listen", listen, "--metrics-listen", metrics)
    assert done.returncode == 1
    option = "--listen" if what == "gRPC" else "--metrics-listen"
    assert done.stderr.splitlines()[-1] == (
        f"Error: cannot serve {what} on {address}: Address already in use; {option} sets another address"
    )
    assert "Traceback" not in done.stderr
    assert not data_dir.exists()


def test_a_host_that_nobody_knows(database_url: str, workers: str) -> None:
    """If the host's name does not resolve, the server ends with one line that names address and cause."""
    flags = ("--database-url", database_url, "--workers", workers)
    done = run("serve", *flags, "--listen", "nobody.invalid:0", "--metrics-listen", "off")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: cannot serve gRPC on nobody.invalid:0: the name does not resolve: ")
    assert done.stderr.count("\n") == 1


def test_one_port_for_two_things(data_dir: Path, workers: str) -> None:
    """The metrics and gRPC cannot have the same port."""
    address = f"127.0.0.1:{free_port()}"
    flags = ("--data-dir", data_dir, "--workers", workers)
    done = run("serve", *flags, "--listen", address, "--metrics-listen", address)
    assert done.returncode == 1
    assert f"cannot serve metrics on {address}: Address already in use" in done.stderr
    assert not data_dir.exists()


def test_an_outdated_schema_is_served_after_the_migration(start: Start, empty_database_url: str) -> None:
    """With an outdated schema the server is NOT_SERVING and names the command; after it, it serves."""
    server = start("--database-url", empty_database_url)
    server.wait_for("run `session-history migrate`")
    health = run("health", "--server", server.address())
    assert (health.stdout, health.returncode) == ("NOT_SERVING\n", 1)
    migrated = run("migrate", "--database-url", empty_database_url)
    assert migrated.returncode == 0, migrated.stderr
    server.stub().AppendMessage(_append("m"))
    health = run("health", "--server", server.address())
    assert (health.stdout, health.returncode) == ("SERVING\n", 0)


def _until_waiting(url: str) -> None:
    query = "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    eventually(lambda: len(execute(url, query)) == 1)
