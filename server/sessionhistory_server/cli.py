"""The commands: serve, migrate, check, health."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click
import grpc
import psycopg
from grpc_health.v1 import health_pb2, health_pb2_grpc

import sessionhistory_migrations as migrations
from sessionhistory_server import embedded, inspection, logs
from sessionhistory_server.app import App, ListenError
from sessionhistory_server.config import Address, Settings, options, variable
from sessionhistory_server.store.database import conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEALTH_TIMEOUT_SECONDS: Final = 3

_log = logging.getLogger(__name__)


class _Group(click.Group):
    """Says what is wrong with a command's arguments in one line, without its usage before it."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            error.ctx = None
            raise


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="session-history")
def cli() -> None:
    """Keep the conversation history of LLM applications in Postgres, behind gRPC."""


@cli.command()
@options()
def serve(**values: Any) -> None:  # noqa: ANN401 - the settings, by name
    """Serve gRPC until SIGTERM or Ctrl-C. Without --database-url, on a Postgres of its own."""
    settings = Settings(**values)
    logs.configure(level=settings.log_level, log_format=settings.log_format)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _clear_errors(), _database(settings) as url:
        asyncio.run(_serve(settings, url))
    _log.info("stopped")


@cli.command()
@options("database_url")
def migrate(database_url: str | None) -> None:
    """Bring a database's schema up to date. Servers of this release and the one before go on running."""
    url = _required(database_url)
    with _clear_errors():
        before = migrations.current(url)
        migrations.upgrade(url)
        after = migrations.current(url)
    click.echo(
        f"schema {after}: nothing to do" if before == after else f"schema {before or 'none'} → {after}"
    )


@cli.command()
@options("database_url")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(database_url: str | None, *, as_json: bool) -> None:
    """Say whether a database can be served from. Exits with 1 if it cannot."""
    with _clear_errors():
        report = inspection.inspect(_required(database_url))
    if as_json:
        click.echo(json.dumps(report._asdict()))
    else:
        for name, value in report._asdict().items():
            click.echo(f"{name.replace('_', ' '):<18} {value}")
    sys.exit(0 if report.ready else 1)


@cli.command()
@options("listen")
def health(listen: Address) -> None:
    """Ask a running server whether it is serving. Exits with 1 if it is not."""
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(listen.host, listen.host)  # noqa: S104 - what it listens on
    with grpc.insecure_channel(f"{host}:{listen.port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its methods are made at run time
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_HEALTH_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise click.ClickException(f"no answer from {host}:{listen.port}: {error.code().name}") from error
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    click.echo(status)
    sys.exit(0 if status == "SERVING" else 1)


async def _serve(settings: Settings, url: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    app = App(settings, url)
    await app.start()
    address = settings.listen._replace(port=app.port)
    _log.info("listening on %s: try `grpcurl -plaintext %s list`", address, address)
    await stop.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)  # a second signal does not wait
    _log.info("stopping")
    await app.stop(drain_seconds=settings.drain_seconds)


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """Yield the URL to serve from: the given one, or an embedded Postgres's, migrated."""
    if settings.database_url:
        yield _valid(settings.database_url)
        return
    _log.info("no %s: using a Postgres of its own", variable("database_url"))
    with embedded.running(settings.embedded_data_dir, report=_log.info) as url:
        migrations.upgrade(url)
        _log.info("data in %s; look into it with: psql '%s'", settings.embedded_data_dir, url)
        yield url


def _required(database_url: str | None) -> str:
    if not database_url:
        raise click.UsageError(
            f"give --database-url or {variable('database_url')}; `serve` keeps its embedded database"
            " up to date by itself"
        )
    return _valid(database_url)


def _valid(database_url: str) -> str:
    """Judge a URL before anything uses it: the driver's errors quote it, and it may hold a password."""
    try:
        conninfo(database_url)
    except psycopg.ProgrammingError:
        raise click.UsageError(
            f"--database-url ({variable('database_url')}) is no valid libpq URL: it looks like"
            " postgresql://user:password@host:5432/database, with special characters as %-codes"
        ) from None
    return database_url


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Turn what can go wrong outside of this program into one line that says what to do."""
    try:
        yield
    except (embedded.EmbeddedPostgresError, ListenError) as error:
        raise click.ClickException(str(error)) from error
    except migrations.LockTimeoutError as error:
        raise click.ClickException(
            "a table is in use by a long transaction: end it, then run this again"
        ) from error
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        first_line = str(error).partition("\n")[0]
        raise click.ClickException(f"cannot use the database: {first_line}") from error
