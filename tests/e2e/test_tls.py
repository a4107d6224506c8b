"""TLS and mutual TLS of a server with workers, as its callers see them."""

from __future__ import annotations

import os
import signal
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from tls_support import append, connect, fingerprint, serves, stub, version
from workers_support import deaths_of, is_running, pids_of

from sessionhistory.v1 import session_history_service_pb2 as pb
from support.certificates import Authority, Pair
from support.metrics import Metrics
from support.processes import run
from support.proxy import free_port
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.processes import Server

    Start = Callable[..., Server]

_CHANGED = "the server's certificate has changed"
_WORKERS = 2
_SENDERS = 4
_SWAPS = 3


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority that signs the certificates of the server and of its clients."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def strangers(tmp_path: Path) -> Authority:
    """Another authority."""
    return Authority(tmp_path / "strangers")


@pytest.fixture
def pair(authority: Authority) -> Pair:
    """The files of the server's certificate."""
    return authority.issue("server")


@pytest.fixture
def secure(start: Start, database_url: str, pair: Pair, authority: Authority) -> Server:
    """A server with two workers and TLS, which is ready."""
    server = start("--database-url", database_url, "--workers", str(_WORKERS), *pair.flags)
    server.stub(authority.credentials())
    return server


def test_calls_are_encrypted(secure: Server, authority: Authority, strangers: Authority) -> None:
    """The server answers clients that trust its authority, and no others."""
    address = secure.address()
    with stub(address, authority.credentials()) as history:
        assert history.AppendMessage(append()).message.sequence == 1
    assert not serves(address, strangers.credentials())
    assert not serves(address, None)
    assert serves(address, authority.credentials())


@pytest.mark.parametrize("old", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_no_old_version_of_tls(secure: Server, old: ssl.TLSVersion) -> None:
    """A client that knows an old version only is refused; 1.2 and 1.3 are spoken."""
    address = secure.address()
    assert version(address, old) is None
    assert version(address, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert version(address, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"


def test_clients_need_a_certificate(
    start: Start, database_url: str, pair: Pair, authority: Authority, strangers: Authority
) -> None:
    """With authorities of clients, only a valid certificate of theirs is accepted, also after they change."""
    clients = Authority(authority.ca.with_name("clients"))
    metrics_port = free_port()
    flags = (*pair.flags, "--tls-client-ca", clients.ca, "--workers", str(_WORKERS))
    server = start("--database-url", database_url, *flags, metrics_port=metrics_port)
    address, ada = server.address(), clients.issue("ada", "ada.example")
    server.stub(authority.credentials(ada)).AppendMessage(append())
    assert not serves(address, authority.credentials())
    assert not serves(address, authority.credentials(strangers.issue("eve", "ada.example")))
    assert not serves(address, authority.credentials(clients.issue("old", "ada.example", days=-1)))
    _assert_calls_itself(metrics_port)
    clients.ca.write_bytes(strangers.ca.read_bytes())
    eventually(lambda: not any(serves(address, authority.credentials(ada)) for _ in range(8 * _WORKERS)))
    assert serves(address, authority.credentials(strangers.issue("eve", "eve.example")))


@pytest.mark.parametrize("hosts", [(), ("*.history.example", "history.example")])
def test_health_in_the_environment_of_a_server(
    start: Start, database_url: str, authority: Authority, hosts: tuple[str, ...]
) -> None:
    """Health finds its server by the variables of the server, whatever host the certificate is for."""
    pair = authority.issue("server", *hosts)
    variables = {"SESSION_HISTORY_TLS_CERT": str(pair.cert), "SESSION_HISTORY_TLS_KEY": str(pair.key)}
    mutual = {**variables, "SESSION_HISTORY_TLS_CLIENT_CA": str(authority.ca)}
    for each in (variables, mutual):
        server = start("--database-url", database_url, **each)
        server.wait_for("database: ready")
        listen = server.address().replace("127.0.0.1", "0.0.0.0")
        done = run("health", variables={**each, "SESSION_HISTORY_LISTEN": listen})
        assert (done.returncode, done.stdout, done.stderr) == (0, "SERVING\n", "")
    done = run("health", "--server", server.address(), variables=variables)
    assert done.stderr == (
        f"Error: the server at {server.address()} uses TLS: add --tls, or name its authority with --ca\n"
    )
    done = run("health", variables={**variables, "SESSION_HISTORY_LISTEN": listen})
    assert done.stderr == (
        f"Error: the server at {server.address()} requires a certificate of the client: name it with"
        " --cert and --key\n"
    )
    client = {"SESSION_HISTORY_CERT": str(pair.cert), "SESSION_HISTORY_KEY": str(pair.key)}
    done = run("health", variables={**variables, **client, "SESSION_HISTORY_LISTEN": listen})
    assert (done.returncode, done.stderr) == (0, "")


def _assert_calls_itself(metrics_port: int) -> None:
    """Wait until the workers have answered the supervisor, which they do by a call without TLS."""
    metrics, key = Metrics(metrics_port), ("sessionhistory_rpcs_total", "OK", "grpc.health.v1.Health/Check")
    before = metrics.read().get(key, 0)
    eventually(lambda: metrics.read().get(key, 0) >= before + _WORKERS)


def test_a_suspended_worker_is_replaced(secure: Server, authority: Authority) -> None:
    """With TLS, too, the supervisor finds a worker that does not answer."""
    victim = pids_of(secure)[0]
    os.kill(victim, signal.SIGSTOP)
    eventually(lambda: not is_running(victim) and len(pids_of(secure)) == _WORKERS, patience_seconds=60)
    (death,) = deaths_of(secure)
    assert (death["pid"], death["cause"]) == (victim, "SIGKILL")
    eventually(lambda: serves(secure.address(), authority.credentials()))


def test_a_certificate_is_swapped_under_load(secure: Server, authority: Authority) -> None:
    """All workers use a new certificate for new connections, and no call fails meanwhile."""
    address, context, credentials = secure.address(), authority.context(), authority.credentials()
    stop = threading.Event()

    def send(number: int) -> int:
        """Append on one connection that lasts, and on new ones, until told; return the number of calls."""
        calls = 0
        with stub(address, credentials) as lasting:
            while not stop.is_set():
                lasting.AppendMessage(append(f"lasting-{number}"))
                with stub(address, credentials) as new:
                    new.AppendMessage(append(f"new-{number}"))
                calls += 1
        return calls

    with ThreadPoolExecutor(_SENDERS) as pool:
        senders = [pool.submit(send, number) for number in range(_SENDERS)]
        try:
            for count in range(1, _SWAPS + 1):
                before = fingerprint(address, context)
                authority.issue("server")
                eventually(lambda: secure.log.count(_CHANGED) == count)  # noqa: B023
                # Each connection reaches a random worker.
                eventually(lambda: before not in {fingerprint(address, context) for _ in range(16)})  # noqa: B023
        finally:
            stop.set()
        assert all(sender.result() > 0 for sender in senders)
    assert not deaths_of(secure)


def test_a_broken_pair_of_files(secure: Server, pair: Pair, authority: Authority) -> None:
    """The last valid pair stays in use, also in workers that start meanwhile; one warning names the file."""
    address, context, credentials = secure.address(), authority.context(), authority.credentials()
    before = fingerprint(address, context)
    good = pair.key.read_bytes()
    pair.key.write_bytes(good[: len(good) // 2])
    warning = f"--tls-key: {pair.key} has no valid private key"
    secure.wait_for(warning)
    workers = set(pids_of(secure))
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    eventually(lambda: len(set(pids_of(secure)) - workers) == _WORKERS)
    eventually(lambda: serves(address, credentials))
    assert {fingerprint(address, context) for _ in range(8)} == {before}
    assert secure.log.count(warning) == 1
    authority.issue("server")
    secure.wait_for(_CHANGED)
    eventually(lambda: before not in {fingerprint(address, context) for _ in range(8)})


def test_strange_bytes_and_slow_handshakes(secure: Server, authority: Authority) -> None:
    """Bytes that are no TLS end their connection; connections that send nothing disturb no caller."""
    address, credentials = secure.address(), authority.credentials()
    with ExitStack() as stack:
        for _ in range(200):
            silent = stack.enter_context(connect(address))
            silent.sendall(b"\x16\x03\x01\x02\x00")  # a handshake of 512 bytes begins
        for data in (b"\xff" * 10_000, b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            with connect(address) as strange, suppress(ConnectionError):
                strange.sendall(data)
                while strange.recv(4_096):
                    pass
        assert serves(address, credentials)
    assert not deaths_of(secure)
    assert all(event["timestamp"] for event in secure.events)


def test_the_socket_on_which_a_server_calls_itself(secure: Server) -> None:
    """Other programs of the machine find the socket, which has no TLS; it answers nothing but health."""
    links = [link for pid in pids_of(secure) for link in Path(f"/proc/{pid}/fd").iterdir()]
    own = {str(link.readlink()) for link in links}
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    named = {words[6]: words[7] for words in lines if len(words) == 8}
    found = {name[1:] for inode, name in named.items() if f"socket:[{inode}]" in own and name[0] == "@"}
    assert len(found) == _WORKERS
    for name in found:
        assert serves(f"unix-abstract:{name}", None)
        with stub(f"unix-abstract:{name}", None) as history, pytest.raises(grpc.RpcError) as caught:
            history.AppendMessage(append())
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        calls = pb.CallStreamRequest(calls=[{"append_message": append()}])
        with stub(f"unix-abstract:{name}", None) as history, pytest.raises(grpc.RpcError) as caught:
            list(history.CallStream(iter([calls])))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
