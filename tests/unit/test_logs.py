"""The format of the logs: one JSON object a line, errors by type and place."""

from __future__ import annotations

import contextvars
import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from grpc._cython import cygrpc

from sessionhistory_server import call_context
from sessionhistory_server.call_context import CallContext
from sessionhistory_server.observability import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Configure = Callable[..., "io.StringIO"]

_ROOT = logging.getLogger()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Configures logging to a stream, which it returns; the fixture restores the configuration."""
    handlers, level = _ROOT.handlers[:], _ROOT.level

    def to_stream(log_format: str, *, level: str = "info", terminal: bool = False) -> io.StringIO:
        stream = _Terminal() if terminal else io.StringIO()
        monkeypatch.setattr("sys.stderr", stream)
        logs.configure(level=level, log_format=log_format)
        return stream

    yield to_stream
    _ROOT.handlers[:] = handlers
    _ROOT.setLevel(level)


def _objects(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("name", ["sessionhistory_server.app", "psycopg", "grpc._cython.cygrpc"])
def test_every_logger_writes_json(configure: Configure, name: str) -> None:
    """A line of our loggers and of any library is one object, with level and time."""
    stream = configure("json")
    logging.getLogger(name).warning("two\nlines and %s", "an argument", extra={"millis": 1.5})
    (line,) = _objects(stream)
    assert (line["event"], line["level"], line["millis"]) == ("two\nlines and an argument", "warning", 1.5)
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("log_format", "terminal", "is_json"),
    [
        ("json", True, True),
        ("json", False, True),
        ("console", True, False),
        ("console", False, False),
        ("auto", True, False),
        ("auto", False, True),
    ],
)
def test_the_format(configure: Configure, log_format: str, *, terminal: bool, is_json: bool) -> None:
    """``auto`` is readable on a terminal and JSON elsewhere; only terminals get colours."""
    stream = configure(log_format, terminal=terminal)
    logging.getLogger("any").info("said")
    text = stream.getvalue()
    assert text.startswith("{") == is_json
    assert ("\x1b[" in text) == (terminal and not is_json)
    assert "said" in text


@pytest.mark.parametrize("level", logs.LEVELS)
def test_the_level(configure: Configure, level: str) -> None:
    """Lines below the level are dropped, all others are written."""
    stream = configure("json", level=level)
    for each in logs.LEVELS:
        logging.getLogger("any").log(logging.getLevelName(each.upper()), each)
    written = [line["event"] for line in _objects(stream)]
    assert written == list(logs.LEVELS[logs.LEVELS.index(level) :])


@pytest.mark.parametrize("level", logs.LEVELS)
def test_lines_of_libraries(configure: Configure, level: str) -> None:
    """Libraries' lines about lost connections, plugins and dead peers are logged at debug only.

    The start of an event loop is never logged.
    """
    stream = configure("json", level=level)
    logging.getLogger("psycopg.pool").error("discarding closed connection: %s", "<at 0x7f>")
    logging.getLogger("alembic.runtime.plugins").info("setup plugin %s", "alembic.autogenerate.tables")
    grpc_logger = logging.getLogger("grpc._cython.cygrpc")
    grpc_logger.error("raised in core", exc_info=cygrpc.ExecuteBatchError())
    grpc_logger.debug("Loaded running loop")
    logging.getLogger("asyncio").debug("Using selector")
    assert [line["event"] for line in _objects(stream)] == (
        [
            "discarding closed connection: <at 0x7f>",
            "setup plugin alembic.autogenerate.tables",
            "raised in core",
        ]
        if level == "debug"
        else []
    )


@pytest.mark.parametrize("level", ["debug", "info"])
def test_metadata_is_not_shown(configure: Configure, level: str) -> None:
    """Metadata that gRPC cannot decode is not logged, although gRPC logs it as an error.

    It may be a credential.
    """
    stream = configure("json", level=level)
    try:
        b"Bearer secret\xff".decode()
    except UnicodeDecodeError:
        logging.getLogger("grpc._cython.cygrpc").exception("Invalid encoding on %s", b"Bearer secret\xff")
    assert "secret" not in stream.getvalue()
    told = [(line["level"], line["event"]) for line in _objects(stream)]
    assert told == ([("debug", "metadata is not UTF-8")] if level == "debug" else [])


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_errors_are_described_without_their_words(configure: Configure, log_format: str) -> None:
    """A logged error has its type, SQLSTATE, place and cause, but not its text."""
    stream = configure(log_format)

    class DriverError(Exception):
        sqlstate = "23514"

    def fail() -> None:
        raise RuntimeError("secret one") from DriverError("secret two")

    try:
        fail()
    except RuntimeError:
        logging.getLogger("any").exception("it broke")
    assert "secret" not in stream.getvalue()
    assert "RuntimeError" in stream.getvalue()
    assert "23514" in stream.getvalue()
    if log_format == "json":
        (line,) = _objects(stream)
        assert line["cause"] == {"error": "DriverError", "sqlstate": "23514", "where": []}
        assert any(__file__ in place for place in line["where"])


def test_an_error_that_causes_itself_is_described(configure: Configure) -> None:
    """A circular chain of causes is logged, and ends."""
    stream = configure("json")
    first, second = RuntimeError("one"), ValueError("two")
    first.__cause__, second.__cause__ = second, first
    logging.getLogger("any").error("it broke", exc_info=first)
    (line,) = _objects(stream)
    assert line["error"] == "RuntimeError"


def test_bound_fields_are_on_every_line(configure: Configure) -> None:
    """The fields that are bound to a call are on each line that the call logs."""
    stream = configure("json")

    def call() -> None:
        logs.bind(worker=1)
        call_context.begin(CallContext("r", "m"))
        logging.getLogger("psycopg").warning("said")

    contextvars.copy_context().run(call)
    (line,) = _objects(stream)
    assert (line["worker"], line["request_id"], line["method"]) == (1, "r", "m")
