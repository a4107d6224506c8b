"""A server in processes of its own shows no part of a password, of a key, or of the metadata of calls."""

from __future__ import annotations

import os
import secrets
import signal
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest
from psycopg.conninfo import make_conninfo
from secrecy_support import command_lines, shown
from tls_support import connect
from workers_support import pids_of

from sessionhistory.v1 import credentials_service_pb2 as keys_pb
from sessionhistory.v1 import credentials_service_pb2_grpc as keys_grpc
from sessionhistory_server.credentials import api_keys as key_text
from support import http2
from support.certificates import Authority, Pair
from support.processes import run
from support.proxy import free_port
from support.service import connect_thread
from support.tokens import AUDIENCE, ISSUER, IssuerKey, publish
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.processes import Server

    Start = Callable[..., Server]

PASSWORD = secrets.token_urlsafe(32)
"""Of the database, which does not ask for it."""
_PATIENCE_SECONDS = 30
_PATH = b"/sessionhistory.v1.SessionHistoryService/GetSession"
_ID_END = 21
"""Where the id of a key ends, which is no secret."""


class Guarded(NamedTuple):
    """A server with TLS that asks for keys, at the level debug."""

    server: Server
    authority: Authority
    pair: Pair
    admin: str
    """A key with all scopes."""
    issuer: IssuerKey
    """The key that signs tokens."""

    @property
    def texts(self) -> str:
        """All that the server has written, its metrics, and the command lines of its processes."""
        port = self.server.metrics_port
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=_PATIENCE_SECONDS) as page:
            return "\n".join((self.server.log, page.read().decode(), command_lines(self.server.process.pid)))

    def check(self, *hidden: str) -> None:
        """Check that no text shows these secrets, the database's password or the key of the certificate."""
        texts = self.texts
        pem = "".join(self.pair.key.read_text().splitlines()[1:-1])
        for secret in (*hidden, PASSWORD, pem, self.admin[_ID_END:]):
            assert not shown(secret, texts)


def _made(url: str, *arguments: str) -> str:
    """Run a command of keys in the database; return the key, which it shows once only."""
    done = run("keys", *arguments, "--database-url", url)
    assert done.returncode == 0, done.stderr
    assert f'"api_key_id": "{done.stdout[4:20]}"' in done.stderr  # the event for the trail
    assert not shown(done.stdout.strip()[_ID_END:], done.stderr)
    assert not shown(PASSWORD, done.stdout + done.stderr)
    return done.stdout.strip()


@pytest.fixture
def url(database_url: str) -> str:
    """A database's URL with a password."""
    return make_conninfo(database_url, password=PASSWORD)


@pytest.fixture(params=["json", "console"])
def guarded(request: pytest.FixtureRequest, start: Start, url: str, tmp_path: Path) -> Guarded:
    """A server of two workers, whose settings are variables."""
    authority = Authority(tmp_path / "authority")
    pair = authority.issue("server")
    scopes = [part for scope in ("read", "write", "admin") for part in ("--scope", scope)]
    admin = _made(url, "create", *scopes)
    publish(keys_file := tmp_path / "keys.json", issuer := IssuerKey("of-tests"))
    variables = {
        "SESSION_HISTORY_DATABASE_URL": url,
        "SESSION_HISTORY_API_KEY": admin,
        "SESSION_HISTORY_AUTH": "keys,jwt",
        "SESSION_HISTORY_JWT_ISSUER": ISSUER,
        "SESSION_HISTORY_JWT_AUDIENCE": AUDIENCE,
        "SESSION_HISTORY_JWT_JWKS": str(keys_file),
        "SESSION_HISTORY_LOG_LEVEL": "debug",
        "GRPC_VERBOSITY": "debug",
    }
    flags = ("--workers", "2", "--log-format", request.param, *pair.flags)
    server = start(*flags, metrics_port=free_port(), **variables)
    server.wait_for("database: ready")
    return Guarded(server, authority, pair, admin, issuer)


def _texts_of_error(error: Any) -> str:
    return f"{error!r} {error} {error.details()} {error.debug_error_string()} {error.trailing_metadata()}"


def _call(guarded: Guarded, *metadata: tuple[str, str | bytes]) -> str:
    """Make a call, which fails; return its error."""
    with connect_thread(guarded.server.address(), guarded.authority.credentials()) as channel:
        call: Any = channel.unary_unary(_PATH.decode())
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\n\x01s", metadata=metadata, timeout=_PATIENCE_SECONDS)
    return _texts_of_error(caught.value)


def _call_raw(guarded: Guarded, *headers: tuple[bytes, bytes]) -> bytes:
    """Make a call with any bytes as its headers; return the answer."""
    with ExitStack() as stack:
        plain = stack.enter_context(connect(guarded.server.address()))
        secure = guarded.authority.context().wrap_socket(plain, server_hostname="127.0.0.1")
        connection = http2.Connection(stack.enter_context(secure), {})
        connection.request(1, _PATH, *headers)
        connection.message(1, b"\n\x01s")
        answer = b""
        for frame in connection.frames():
            answer += frame.payload
            if frame.kind in {http2.RST_STREAM, http2.GOAWAY} or frame.flags & http2.END_STREAM:
                break
    return answer


def test_keys_of_calls(guarded: Guarded, url: str) -> None:
    """Valid, wrong, mistyped, revoked, rotated and expired keys, and keys that are too long."""
    valid = _made(url, "create", "--scope", "read")
    wrong = key_text.new_key(valid[4:20])
    mistyped = valid[:-1] + ("0" if valid[-1] != "0" else "1")
    rotated = _made(url, "create", "--scope", "read")
    renewed = _made(url, "rotate", rotated[4:20], "--overlap", "0s")
    revoked = _made(url, "create", "--scope", "read")
    assert run("keys", "revoke", revoked[4:20], "--database-url", url).returncode == 0
    expired = _made(url, "create", "--scope", "read", "--expires", "1s")
    said = ""
    eventually(lambda: "CREDENTIALS_EXPIRED" in _call(guarded, ("authorization", f"Bearer {expired}")))
    for key in (valid, wrong, mistyped, rotated, renewed, revoked, valid * 100, secrets.token_hex(15_000)):
        said += _call(guarded, ("authorization", f"Bearer {key}"))
    eventually(lambda: guarded.server.log.count("CREDENTIALS") or "UNAUTHENTICATED" in guarded.server.log)
    hidden = [key[_ID_END:] for key in (valid, wrong, mistyped, rotated, renewed, revoked, expired)]
    for secret in hidden:
        assert not shown(secret, said)
    guarded.check(*hidden)


def test_tokens_of_calls(guarded: Guarded) -> None:
    """Valid, expired, forged and mistyped tokens, and tokens that are too long or of an unknown key."""
    valid = guarded.issuer.token()
    tokens = [
        valid,
        guarded.issuer.token(exp=1),
        guarded.issuer.token(nbf=4_000_000_000),
        guarded.issuer.token(aud="another"),
        guarded.issuer.token({"alg": "none"}),
        guarded.issuer.token({"crit": ["x"]}),
        guarded.issuer.token(sub=secrets.token_hex(10_000)),
        IssuerKey("of-tests").token(),
        IssuerKey("unknown").token(),
        f"{valid[:-4]}AAAA",
        f"{valid}.{valid}",
    ]
    said = "".join(_call(guarded, ("authorization", f"Bearer {token}")) for token in tokens)
    assert "SESSION_NOT_FOUND" in said
    eventually(lambda: guarded.server.log.count("UNAUTHENTICATED") >= len(tokens) - 2)
    hidden = [part for token in tokens[:6] + tokens[7:] for part in token.split(".")[1:]]
    for secret in hidden:
        assert not shown(secret, said)
    guarded.check(*hidden)


@pytest.mark.parametrize("guarded", ["json"], indirect=True)
def test_metadata_in_odd_forms(guarded: Guarded) -> None:
    """Other schemes, other names, several credentials, binary ones, and bytes that are no text."""
    secret = secrets.token_urlsafe(40)
    key = key_text.new_key(key_text.new_id())
    said = ""
    for value in (
        secret,
        f"Basic {secret}",
        f"bearer {key}",
        f"BEARER  {key} {secret}",
        f"Digest x={secret}",
    ):
        said += _call(guarded, ("authorization", value))
    said += _call(guarded, ("authorization", f"Bearer {key}"), ("authorization", f"Bearer {secret}"))
    for name in ("proxy-authorization", "cookie", "x-api-key", "x-request-id", "user-agent", "grpc-tags"):
        said += _call(guarded, (name, f"{secret} ' \""))
    for name in ("authorization-bin", "x-key-bin", "grpc-trace-bin", "grpc-status-details-bin"):
        said += _call(guarded, (name, secret.encode()))
    data = secret.encode()
    for header in (
        (b"authorization", b"Bearer \xff\xfe" + data),
        (b"authorization", b"Bearer \x00" + data),
        (b"Authorization", b"Bearer " + data),
        (b"authorization-bin", b"%%%" + data),
        (b"\xffx", data),
        (b"x-request-id", b"\xff" + data),
        (b"grpc-timeout", data),
        (b"grpc-encoding", data),
        (b"content-type", data),
        (b"user-agent", b"\xff" + data),
        (b":authority", data),
    ):
        said += _call_raw(guarded, header).decode("latin-1")
    eventually(lambda: guarded.server.log.count("UNAUTHENTICATED") > 5)
    for hidden in (secret, key[_ID_END:]):
        assert not shown(hidden, said)
    guarded.check(secret, key[_ID_END:])


@pytest.mark.parametrize("guarded", ["json"], indirect=True)
def test_keys_that_calls_make(guarded: Guarded) -> None:
    """The answer alone shows a secret; a worker that is killed meanwhile shows none."""
    metadata = (("authorization", f"Bearer {guarded.admin}"),)
    with connect_thread(guarded.server.address(), guarded.authority.credentials()) as channel:
        service: Any = keys_grpc.CredentialsServiceStub
        stub = service(channel)
        request = keys_pb.CreateApiKeyRequest(api_key={"scopes": [keys_pb.SCOPE_READ]})
        made = stub.CreateApiKey(request, metadata=metadata)
        key_id = made.api_key.api_key_id
        renewed = stub.RotateApiKey(keys_pb.RotateApiKeyRequest(api_key_id=key_id), metadata=metadata)
        stub.ListApiKeys(keys_pb.ListApiKeysRequest(page_size=1), metadata=metadata)
    victim = pids_of(guarded.server)[0]
    os.kill(victim, signal.SIGABRT)
    eventually(lambda: "died" in guarded.server.log and victim not in pids_of(guarded.server))
    guarded.check(made.secret[_ID_END:], renewed.secret[_ID_END:])


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_server_that_cannot_start(tmp_path: Path, log_format: str) -> None:
    """No reason shows a secret of the settings, or of a file that they name."""
    issued = Authority(tmp_path / "authority").issue("server")
    pem = "".join(issued.key.read_text().splitlines()[1:-1])
    (half := tmp_path / "half.key").write_text(issued.key.read_text()[:150])
    (odd := tmp_path / "odd.key").write_text(PASSWORD)
    url = f"postgresql://u:{PASSWORD}@127.0.0.1:1/d"
    wrong: list[dict[str, str]] = [
        {"DATABASE_URL": f"{url}?no_such_option=1"},
        {"DATABASE_URL": f"postgresql://u:{PASSWORD}@[::1/d"},
        {"DATABASE_URL": PASSWORD},
        {"DATABASE_URL": url, "LISTEN": "0.0.0.0:0"},
        {"DATABASE_URL": url, "LISTEN": "203.0.113.1:1", "INSECURE": "true"},
        {"DATABASE_URL": url, "TLS_CERT": str(issued.cert), "TLS_KEY": str(half)},
        {"DATABASE_URL": url, "TLS_CERT": str(issued.cert), "TLS_KEY": str(odd)},
        {"DATABASE_URL": url, "TLS_CERT": str(issued.key), "TLS_KEY": str(issued.key)},
        {"DATABASE_URL": url, "TLS_CERT": str(odd), "TLS_KEY": str(issued.key)},
        {"DATABASE_URL": url, "AUTH": "nonsense"},
    ]
    for changed in wrong:
        values = {"LISTEN": "127.0.0.1:0", "METRICS_LISTEN": "off"} | changed
        variables = {f"SESSION_HISTORY_{name}": value for name, value in values.items()}
        done = run("serve", "--log-level", "debug", "--log-format", log_format, variables=variables)
        assert done.returncode, changed
        text = done.stdout + done.stderr
        assert text
        assert not shown(PASSWORD, text), (changed, text)
        assert not shown(pem, text), (changed, text)
