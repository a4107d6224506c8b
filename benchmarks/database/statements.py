"""Record the two hot statements of the store, for measurements without the service."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from sessionhistory_server import tokens
from sessionhistory_server.app import window_defaults
from sessionhistory_server.config import Settings
from sessionhistory_server.limits import MAX_RESPONSE_BYTES
from sessionhistory_server.model.append import Append
from sessionhistory_server.model.caller import ALL_SCOPES, DEFAULT_TENANT, Caller
from sessionhistory_server.model.message import USER, MessageContent, NewMessage
from sessionhistory_server.model.tokens import COUNTED_BY_CHARACTERS
from sessionhistory_server.model.window import WindowLimits
from sessionhistory_server.store.appends import single
from sessionhistory_server.store.appends.batch import Batch
from sessionhistory_server.store.postgres.connect import connect
from sessionhistory_server.store.session_ref import SessionRef
from sessionhistory_server.store.windows import read

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from sessionhistory_server.store.postgres.connection import Connection

MESSAGE_ID: Final = "the id of the message"
"""The placeholder in an append's parameters that each execution replaces with a new id."""

_PARAMETER: Final = re.compile(r"%\((\w+)\)s")


class Statement(NamedTuple):
    """A statement with named parameters in psycopg's form."""

    text: str
    parameters: Mapping[str, Any]

    def with_placeholders(self, replace: Mapping[str, str]) -> str:
        """Return the text with each parameter replaced by ``replace[name]``."""
        return _PARAMETER.sub(lambda found: replace[found[1]], self.text)


class _SentError(Exception):
    """Raised to end the store's work after its first statement."""


class _Recorder:
    """A connection that records the first statement and sends nothing."""

    is_distributed = False

    def __init__(self) -> None:
        self.sent: Statement | None = None

    async def fetch(self, query: str, parameters: Mapping[str, Any]) -> None:
        self.sent = Statement(query, parameters)
        raise _SentError


def appending(session_id: str, content: str) -> Statement:
    """Return the statement that appends a message; its id is ``MESSAGE_ID``."""
    message = MessageContent(message_id=MESSAGE_ID, role=USER, content=content)
    batch = Batch(
        asked=Append(session_id, messages=()),
        tenant_id=DEFAULT_TENANT,
        ref=_ref(session_id),
        messages=[NewMessage(message, tokens.count(message), len(content))],
        token_counter=COUNTED_BY_CHARACTERS,
        retention=timedelta(),
    )
    recorder = _Recorder()
    return _sent(recorder, single.append(cast("Connection", recorder), batch))


def reading(session_id: str) -> Statement:
    """Return the statement that reads a window with the server's defaults."""
    recorder = _Recorder()
    asked = read.WindowQuery(_ref(session_id), WindowLimits(), MAX_RESPONSE_BYTES)
    return _sent(
        recorder, read.read_windows(cast("Connection", recorder), [asked], window_defaults(Settings()))
    )


def session_settings(url: str) -> str:
    """Return the settings of the service's connections, as libpq's ``options``."""

    async def settings() -> list[tuple[str, str]]:
        query = "select name, current_setting(name) from pg_settings where source = 'session'"
        connection = await connect(url)
        async with connection:
            return cast("list[tuple[str, str]]", await (await connection.execute(query)).fetchall())

    return " ".join(f"-c {name}={value}" for name, value in asyncio.run(settings()))


def _sent(recorder: _Recorder, work: Coroutine[Any, Any, object]) -> Statement:
    with suppress(_SentError):
        work.send(None)
    assert recorder.sent
    return recorder.sent


def _ref(session_id: str) -> SessionRef:
    caller = Caller(DEFAULT_TENANT, None, None, ALL_SCOPES, log_id="", must_name_user=False)
    return SessionRef.of(caller, session_id)
