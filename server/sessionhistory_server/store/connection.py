"""A connection that runs the store's statements without the cost of a cursor.

``fetch`` speaks to libpq itself: a cursor of psycopg's, its query, its lock and its wait take longer than
Postgres takes for the hot statements (ADR 21). Everything else is psycopg's.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

import psycopg
from psycopg import AsyncConnection
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format, TransactionStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import abc
    from psycopg.pq.abc import PGconn, PGresult

Row = tuple[Any, ...]

_PARAMETER: Final = re.compile(r"%\((\w+)\)s")
_CANCEL_SECONDS: Final = 5.0

# The texts of updates and lists differ by what a caller names. Each takes memory of the database's.
_MAX_PREPARED: Final = 100
_MAX_TEXTS: Final = 1_000

_numbers = itertools.count(1)


class _Statement(NamedTuple):
    """A statement as libpq takes it: numbered parameters, and their names in that order."""

    name: bytes
    text: bytes
    parameters: tuple[str, ...]


@lru_cache(maxsize=_MAX_TEXTS)
def _statement(query: str) -> _Statement:
    names = tuple(dict.fromkeys(_PARAMETER.findall(query)))
    numbers = {name: f"${number}" for number, name in enumerate(names, start=1)}
    text = _PARAMETER.sub(lambda found: numbers[found[1]], query)
    return _Statement(b"statement_%d" % next(_numbers), text.encode(), names)


class Connection(AsyncConnection[Row]):
    """A connection of psycopg's, for one task at a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - psycopg's signature
        super().__init__(*args, **kwargs)
        self._prepared_names: OrderedDict[bytes, None] = OrderedDict()
        self._transformer: abc.Transformer | None = None

    async def fetch(self, query: LiteralString, parameters: Mapping[str, Any]) -> list[Row]:
        """Run a statement, prepared once on each connection, and return its rows.

        It must cast its parameters, for they are sent as text without a type. When the caller is cancelled,
        so is the statement.

        Raises:
            psycopg.Error: the statement failed, or the connection.
        """
        statement = _statement(query)
        if statement.name not in self._prepared_names:
            await self._prepare(statement)
        self._prepared_names.move_to_end(statement.name)
        values = [self._dump(parameters[name]) for name in statement.parameters]
        self.pgconn.send_query_prepared(statement.name, values, result_format=Format.BINARY)
        result = await self._result()
        transformer = self._transformer = self._transformer or Transformer(self)
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)

    async def _prepare(self, statement: _Statement) -> None:
        """Prepare a statement, in the place of the one that was not used for the longest time."""
        try:
            if len(self._prepared_names) >= _MAX_PREPARED:
                oldest = next(iter(self._prepared_names))
                self.pgconn.send_query(b"deallocate " + oldest)
                await self._result()
                del self._prepared_names[oldest]
            self.pgconn.send_prepare(statement.name, statement.text)
            await self._result()
        except asyncio.CancelledError:
            self.pgconn.finish()  # nobody knows what is prepared
            raise
        self._prepared_names[statement.name] = None

    def _dump(self, value: Any) -> abc.Buffer | None:  # noqa: ANN401 - whatever psycopg takes
        if value is None:
            return None
        if isinstance(value, str):
            return value.encode()
        transformer = self._transformer = self._transformer or Transformer(self)
        return transformer.get_dumper(value, PyFormat.TEXT).dump(value)

    async def _result(self) -> PGresult:
        try:
            result = await _answer(self.pgconn)
        except asyncio.CancelledError:
            await self._abandon()
            raise
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            raise error_from_result(result)
        return result

    async def _abandon(self) -> None:
        """Cancel what is under way, and leave the connection ready for others, or closed."""
        try:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                async with asyncio.timeout(_CANCEL_SECONDS):
                    await self.cancel_safe(timeout=_CANCEL_SECONDS)
                    await _answer(self.pgconn)
        except BaseException:  # noqa: BLE001 - cancelled again, or failed: nobody knows what it would answer next
            self.pgconn.finish()


async def _answer(pgconn: PGconn) -> PGresult:
    """Wait for the database to answer what was sent."""
    loop, socket = asyncio.get_running_loop(), pgconn.socket
    answered: asyncio.Future[None] = loop.create_future()
    results: list[PGresult] = []

    def unwatch() -> None:
        with suppress(OSError):  # of asyncio's, for a closed socket; it forgets both all the same
            loop.remove_reader(socket)
        loop.remove_writer(socket)

    def advance() -> None:
        if answered.done():
            return  # given up: what comes is for who asks next
        try:
            if not pgconn.flush():
                loop.remove_writer(socket)
            pgconn.consume_input()
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    unwatch()
                    answered.set_result(None)
                    return
                results.append(result)
        except psycopg.Error as error:
            # At once: libpq has closed the socket, and its number may be another's before anyone is awake.
            unwatch()
            answered.set_exception(error)

    if pgconn.flush():
        loop.add_writer(socket, advance)
    loop.add_reader(socket, advance)
    try:
        await answered
    finally:
        if answered.cancelled():
            unwatch()
    return results[0]
