"""Passwords and the metadata of calls, which may be credentials, are in no log line and in no error."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import grpc
import psycopg
import pytest
from click.testing import CliRunner
from psycopg import pq

from sessionhistory_cli.commands import cli
from sessionhistory_server.config import Settings, flag
from sessionhistory_server.credentials.identity import Identity, anyone
from sessionhistory_server.rpc import invoke
from sessionhistory_server.rpc.authentication import Authentication
from sessionhistory_server.rpc.dispatch import HEALTH, SERVICE, name_of
from sessionhistory_server.rpc.reflection import REFLECTIONS
from sessionhistory_server.store.postgres.connect import conninfo
from support.processes import PATIENCE_SECONDS, environment
from support.waiting import until

if TYPE_CHECKING:
    import io
    from collections.abc import Awaitable, Callable, Iterator

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

SECRET = "zq-s3cr3t-zq"

_OPTIONS = pq.Conninfo.get_defaults()

# libpq marks the options that hold a secret.
_SECRET_OPTIONS = [option.keyword.decode() for option in _OPTIONS if option.dispchar == b"*"]
_SECRET_VARIABLES = [
    option.envvar.decode() for option in _OPTIONS if option.dispchar == b"*" and option.envvar
]

_NOBODY = "127.0.0.1:1"

# The settings that take any text, but no secret, and the reason.
_NO_SECRETS = {
    "jwt_issuer": "a public name",
    "jwt_audience": "a public name",
    "jwt_jwks": "the place of public keys; a URL with a password is refused without quoting it",
    "jwt_claims": "names of claims",
    "token_counter": "the name of a plug-in and its argument, which its error quotes",
}


def _urls() -> Iterator[str]:
    """Yield URLs of a database that does not answer, and URLs that are not valid, each with the secret."""
    yield f"postgresql://u:{SECRET}@{_NOBODY}/d"
    for option in _SECRET_OPTIONS:
        yield f"postgresql://{_NOBODY}/d?{option}={SECRET}"
        yield f"host=127.0.0.1 port=1 {option}={SECRET}"
        yield f"host=127.0.0.1 port=no {option}={SECRET}"
    yield f"postgresql://u:{SECRET}@[::1/d"
    yield f"postgresql://u:{SECRET}%zz@{_NOBODY}/d"
    yield f"postgresql://u:{SECRET}@{_NOBODY}/d?no_such_option=1"
    yield f"postgresql://u:{SECRET}@127.0.0.1:no/d"
    yield f"password = {SECRET} nonsense"
    yield SECRET


def _text_settings() -> set[str]:
    return {field.name for field in dataclasses.fields(Settings) if field.metadata["kind"] is str}


def _commands() -> dict[str, set[str]]:
    """Return the commands that take settings with secrets, with these settings; `serve` has its own test."""
    secret = _text_settings() - set(_NO_SECRETS)
    commands: Any = cli.commands
    taken = {name: secret & {each.name for each in lazy.load().params} for name, lazy in commands.items()}
    return {name: settings for name, settings in taken.items() if settings and name != "serve"}


def test_every_setting_of_text_has_a_secret_or_a_reason_why_not() -> None:
    """A new setting that can hold a secret has to be given to the tests below, or named above."""
    assert _text_settings() - set(_NO_SECRETS) == {"database_url", "direct_database_url"}
    assert "password" in _SECRET_OPTIONS
    assert len(_commands()) >= 3


@pytest.mark.parametrize("url", [*_urls()])
@pytest.mark.usefixtures("log")  # it restores the logging, which commands configure
def test_no_command_prints_a_secret_of_its_settings(url: str) -> None:
    """Each command that takes a URL fails without quoting it, also if a pooler is named."""
    for command, settings in _commands().items():
        flags = [part for name in settings for part in (flag(name), url)]
        done = CliRunner().invoke(cli, [command, *flags, "--pooler", "transaction"])
        assert isinstance(done.exception, SystemExit), (command, done.exception)
        assert done.exit_code
        assert SECRET not in done.output


@pytest.mark.parametrize("name", _SECRET_VARIABLES)
async def test_the_server_logs_no_secret_of_the_environment(
    serve: Serve, log: io.StringIO, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A server that cannot reach its database says why, without the password that libpq reads itself."""
    monkeypatch.setenv(name, SECRET)
    await serve(f"postgresql://{_NOBODY}/d", serving=False)
    await until(lambda: "cannot be used" in log.getvalue())
    assert SECRET not in log.getvalue()


@pytest.mark.parametrize("url", [*_urls()])
async def test_the_server_logs_no_secret_of_its_url(serve: Serve, log: io.StringIO, url: str) -> None:
    """At no level."""
    try:
        conninfo(url)
    except psycopg.ProgrammingError:
        return  # `serve` refuses the URL as the other commands do
    await serve(url, serving=False)
    await until(lambda: "cannot be used" in log.getvalue())
    assert SECRET not in log.getvalue()


_METADATA = [
    ("authorization", f"Bearer {SECRET}"),
    ("proxy-authorization", f"Basic {SECRET}"),
    ("cookie", f"session={SECRET}"),
    ("x-api-key", SECRET),
    ("x-key-bin", SECRET.encode()),
]

_METHODS = [method for service in (SERVICE, HEALTH, *REFLECTIONS) for method in service.methods]


def _refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Authentication, "identify", _without_rights)


async def _without_rights(*_: object) -> Identity:
    return anyone(must_name_user=False)._replace(scopes=frozenset())


def _break(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(invoke, "Checks", broken)


@pytest.mark.parametrize("trouble", [None, _refuse, _break], ids=["answered", "refused", "broken"])
@pytest.mark.parametrize("body", [b"", b"\xff"], ids=["empty", "malformed"])
async def test_the_metadata_of_a_call_is_not_shown(
    service: Service,
    log: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Callable[[pytest.MonkeyPatch], None] | None,
    body: bytes,
) -> None:
    """Of no RPC, however the call ends."""
    if trouble is not None:
        trouble(monkeypatch)
    paths = [f"/{method.containing_service.full_name}/{method.name}" for method in _METHODS]
    for path in [*paths, f"/{SERVICE.full_name}/NoSuchMethod", "/no.such.Service/Method"]:
        assert SECRET not in await _told(service, path, body)
    await until(lambda: all(name_of(method) in log.getvalue() for method in _METHODS))
    assert SECRET not in log.getvalue()


async def test_too_much_metadata_is_not_shown(service: Service, log: io.StringIO) -> None:
    """GRPC itself refuses such a call."""
    call: Any = service.channel.unary_unary("/grpc.health.v1.Health/Check")
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call(b"", metadata=(("authorization", SECRET * 2_000),))
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert SECRET not in f"{failure.value.details()} {failure.value.trailing_metadata()}{log.getvalue()}"


async def _told(service: Service, path: str, body: bytes) -> str:
    """Make a call with secrets in its metadata; return the error, or an empty text."""
    send: Any = service.channel.stream_stream(path)
    call = send(iter([body]), metadata=_METADATA, timeout=PATIENCE_SECONDS)
    try:
        await call.read()
        call.cancel()
    except grpc.aio.AioRpcError as error:
        return f"{error.details()} {error.debug_error_string()} {error.trailing_metadata()}"
    return ""


_UNCAUGHT = """
import asyncio, gc, sys, threading, uvloop
from sessionhistory_server.observability import logs
from sessionhistory_server.observability.uncaught import log_uncaught

logs.configure(level="debug", log_format=sys.argv[1])
log_uncaught()

def fail(*_):
    raise ValueError("zq-s3cr3t-zq") from KeyError("zq-s3cr3t-zq")

async def fail_later():
    fail()

async def lose_a_task():
    loop = asyncio.get_running_loop()
    loop.call_soon(fail, "zq-s3cr3t-zq")
    task = asyncio.create_task(fail_later())
    await asyncio.wait((task,))
    del task
    gc.collect()

asyncio.run(lose_a_task())
uvloop.run(lose_a_task())
type("Failing", (), {"__del__": fail})()
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_errors_that_no_code_catches_are_logged_by_type_and_place(log_format: str) -> None:
    """Those of tasks, of callbacks, of threads, of finalizers, and the one that ends the process."""
    done = subprocess.run(
        [sys.executable, "-c", _UNCAUGHT, log_format],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 7
    assert all("ValueError" in line and "KeyError" in line and " fail" in line for line in lines)
    assert SECRET not in done.stdout + done.stderr
