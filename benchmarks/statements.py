"""The store's two hot statements as the store sends them, for those who run them without the service."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from sessionhistory_server import tokens
from sessionhistory_server.config import Settings
from sessionhistory_server.history import TENANT
from sessionhistory_server.limits import MAX_RESPONSE_BYTES
from sessionhistory_server.model import CHARACTERS, USER, MessageContent, NewMessage, WindowLimits
from sessionhistory_server.store import append, window
from sessionhistory_server.store.connecting import connect
from sessionhistory_server.store.keys import session_key
from sessionhistory_server.store.sessions import SessionRef

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from sessionhistory_server.store.connection import Connection

MESSAGE_ID: Final = "the id of the message"
"""Stands in an append's parameters where an id of its own belongs."""

_PARAMETER: Final = re.compile(r"%\((\w+)\)s")


class Statement(NamedTuple):
    """A statement with named parameters, as psycopg takes them."""

    text: str
    parameters: Mapping[str, Any]

    def with_placeholders(self, replace: Mapping[str, str]) -> str:
        """Return the text with each parameter replaced, by its name."""
        return _PARAMETER.sub(lambda found: replace[found[1]], self.text)


class _SentError(Exception):
    """Ends the store's work once it has sent its statement."""


class _Recorder:
    """A connection that keeps the first statement and sends nothing."""

    def __init__(self) -> None:
        self.sent: Statement | None = None

    async def fetch(self, query: str, parameters: Mapping[str, Any]) -> None:
        self.sent = Statement(query, parameters)
        raise _SentError


def appending(session_id: str, content: str) -> Statement:
    """Return the statement that appends a message; its id is ``MESSAGE_ID``."""
    message = MessageContent(message_id=MESSAGE_ID, role=USER, content=content)
    batch = append.Batch(
        tenant_id=TENANT,
        ref=_ref(session_id),
        messages=[NewMessage(message, tokens.count(message), len(content))],
        create=None,
        expected_last_sequence=None,
        retention=timedelta(),
        token_counter=CHARACTERS,
    )
    recorder = _Recorder()
    return _sent(recorder, append.append(cast("Connection", recorder), batch))


def reading(session_id: str) -> Statement:
    """Return the statement that reads a window with the server's defaults."""
    settings = Settings()
    defaults = window.Defaults(
        max_messages=settings.history_max_messages,
        token_budget=settings.history_token_budget,
        model_token_budgets=settings.model_token_budgets_json,
    )
    recorder = _Recorder()
    asked = window.Asked(_ref(session_id), WindowLimits(), MAX_RESPONSE_BYTES)
    return _sent(recorder, window.read(cast("Connection", recorder), [asked], defaults))


def session_settings(url: str) -> str:
    """Return what the service sets on its connections, as libpq's ``options``."""

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
    return SessionRef(session_key(TENANT, session_id), session_id, None)
