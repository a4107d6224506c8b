"""A connection that runs the store's statements without the cost of a cursor.

``fetch`` calls libpq itself. A cursor of psycopg, with its query, its lock and its wait, takes longer than
Postgres takes for the hot statements (ADR 21). psycopg does everything else.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import DiagnosticField, ExecStatus, Format, TransactionStatus

from sessionhistory_server.store.postgres.statements import Statement, numbered
from sessionhistory_server.store.postgres.waiting import WAIT_SECONDS, Socket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg import abc
    from psycopg.pq.abc import PGresult

    Values = Sequence[abc.Buffer | None]

R = TypeVar("R")
Row = tuple[Any, ...]

_CANCEL_SECONDS: Final = 5.0
_SUCCESSES: Final = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK})

_NO_SUCH_STATEMENT: Final = b"26000"
_STATEMENT_EXISTS: Final = b"42P05"
_MAX_ATTEMPTS: Final = 8
"""Through a pooler each attempt may reach another backend. The last attempt uses no name."""

# The texts of updates and lists depend on the request. Each prepared text takes memory in the backend.
_MAX_PREPARED: Final = 100

_UNNAMED: Final = b""
_SET_LOCALLY: Final = (
    "select set_config(key, value, true) from json_each_text(%(settings)s::json) as settings (key, value)"
)


class _Step(NamedTuple):
    """A statement in a pipeline, and its name."""

    name: bytes
    statement: Statement
    values: Values


class _Sent(NamedTuple):
    """A command of a pipeline, which has one result; ``name`` is the statement that it prepares or runs."""

    name: bytes
    prepares: bool


class _Adapters(NamedTuple):
    """The adapters with which a transformer dumps and loads values."""

    adapters: AdaptersMap
    connection: None = None


class Connection(AsyncConnection[Row]):
    """A connection of psycopg, for one task at a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - psycopg's signature
        super().__init__(*args, **kwargs)
        self.pooled = False
        """Whether a pooler in transaction mode is in between: each transaction may run on another backend."""
        self.is_distributed = False
        """Whether Citus has distributed the sessions: see ``citus``."""
        self.backend_pid = 0
        """The id of its process, from Postgres, because a pooler gives libpq another; 0 if it may change."""
        self.server: tuple[str, str] = "", ""
        """The address of that process's server, and the start time of the server."""
        self.local_settings: dict[str, str] = {}
        """The settings of Postgres that apply to each statement, and end with it."""
        self._prepared_names: OrderedDict[bytes, None] = OrderedDict()
        # The transformer has only the adapters. A reference to this connection would delay its destruction.
        self._transformer = Transformer(_Adapters(self.adapters))
        self._socket = Socket(self.pgconn)

    @property
    def is_lost(self) -> bool:
        """Whether the database has closed this idle connection. If so, this also closes it."""
        try:
            while not self.closed and self._socket.is_readable:
                self.pgconn.consume_input()  # a notice or a changed setting is not the end of the connection
        except psycopg.OperationalError:
            self.drop()
        return self.closed

    def drop(self) -> None:
        """Close the connection at once, and free its descriptors. An error may keep the object for longer."""
        self.pgconn.finish()
        self._socket.close()

    async def close(self) -> None:
        """Close the connection as psycopg does, and free its descriptors."""
        await super().close()
        self._socket.close()

    async def fetch(
        self, query: LiteralString, parameters: Mapping[str, Any], *, named: bool = True
    ) -> list[Row]:
        """Run a statement, prepared once on each connection, and return its rows.

        The statement must cast its parameters, because they are sent as text without a type. A cancellation
        of the caller cancels the statement, too.

        Args:
            query: The text, with parameters as in ``%(name)s``.
            parameters: Their values.
            named: Whether backends of a pooler may keep the statement prepared; false if its text depends on
                a request.

        Raises:
            psycopg.Error: the statement or the connection failed.
        """
        statement = numbered(query)
        values = self._values(statement, parameters)
        name = statement.name if self._may_name(named=named) else _UNNAMED
        if name in self._prepared_names and not self.local_settings:
            self._prepared_names.move_to_end(name)
            self.pgconn.send_query_prepared(name, values, result_format=Format.BINARY)
            (result,) = await self._collect([])
            if _sqlstate(result) != _NO_SUCH_STATEMENT:
                return self._rows(result)
            del self._prepared_names[name]
        return self._rows(await self._run_in_pipeline(_Step(name, statement, values)))

    async def wait(self, gen: abc.PQGen[R], *_: object, timeout: float | None = None, **__: object) -> R:  # noqa: ASYNC109 - psycopg's signature
        """Run an operation of psycopg, such as a commit.

        Raises:
            psycopg.OperationalError: the database did not answer in time.
        """
        seconds = min(timeout or WAIT_SECONDS, WAIT_SECONDS)
        try:
            wanted = next(gen)
            while True:
                wanted = gen.send(await self._socket.ready(wanted, seconds))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # as the generator says
        except asyncio.CancelledError:
            await self._abandon(partial(self._advance, [], in_pipeline=False))
            raise
        except BaseException:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.drop()  # the next statement would read a late answer as its own
            raise

    def _may_name(self, *, named: bool) -> bool:
        """Return whether a statement may be prepared under its name.

        Through a pooler the connection cannot know the statements that a backend has prepared. A missing
        statement is prepared and run again, but within a transaction the error would abort the transaction.
        """
        return not self.pooled or (named and self.pgconn.transaction_status == TransactionStatus.IDLE)

    def _values(self, statement: Statement, parameters: Mapping[str, Any]) -> Values:
        return [self._dump(parameters[name]) for name in statement.parameters]

    def _dump(self, value: Any) -> abc.Buffer | None:  # noqa: ANN401 - any type that psycopg takes
        if value is None:
            return None
        if isinstance(value, str):
            return value.encode()
        return self._transformer.get_dumper(value, PyFormat.TEXT).dump(value)

    def _rows(self, result: PGresult) -> list[Row]:
        if result.status not in _SUCCESSES:
            raise error_from_result(result)
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)

    async def _run_in_pipeline(self, step: _Step) -> PGresult:
        """Prepare and run a statement, after its local settings, in one transaction on one backend.

        If the backend has prepared more or fewer statements than this connection assumes, the statement has
        not run, and is sent again.
        """
        steps = [*self._setting_steps(), step]
        for _ in range(_MAX_ATTEMPTS - 1):
            sent, results = await self._send(steps)
            failed = next((place for place, r in enumerate(results) if r.status not in _SUCCESSES), None)
            if failed is None:
                return results[-1]
            if not self._correct(sent[failed], results[failed]):
                return results[failed]
        _, results = await self._send([each._replace(name=_UNNAMED) for each in steps])
        return next((r for r in results if r.status not in _SUCCESSES), results[-1])

    def _setting_steps(self) -> list[_Step]:
        if not self.local_settings:
            return []
        statement = numbered(_SET_LOCALLY)
        name = statement.name if self._may_name(named=True) else _UNNAMED
        return [_Step(name, statement, [json.dumps(self.local_settings).encode()])]

    async def _send(self, steps: Sequence[_Step]) -> tuple[list[_Sent], list[PGresult]]:
        """Send statements before one Sync; return the commands and their results, in the same order."""
        sent: list[_Sent] = []
        self.pgconn.enter_pipeline_mode()
        for name, statement, values in steps:
            if name not in self._prepared_names:
                sent += self._evict(name, sum(one.prepares and bool(one.name) for one in sent))
                self.pgconn.send_prepare(name, statement.text)
                sent.append(_Sent(name, prepares=True))
            self.pgconn.send_query_prepared(name, values, result_format=Format.BINARY)
            sent.append(_Sent(name, prepares=False))
        self.pgconn.pipeline_sync()
        results: list[PGresult] = []
        try:
            await self._collect(results, in_pipeline=True)
        finally:
            self._note_prepared(sent, results)
        self.pgconn.exit_pipeline_mode()
        return sent, results

    def _note_prepared(self, sent: Sequence[_Sent], results: Sequence[PGresult]) -> None:
        """Note the statements that are now prepared, even if a later statement was cancelled."""
        for one, result in zip(sent, results, strict=False):
            if one.prepares and one.name and result.status in _SUCCESSES:
                self._prepared_names[one.name] = None

    def _evict(self, name: bytes, sent_names: int) -> list[_Sent]:
        """Close the least recently used statement if the list is full and a new name comes.

        Args:
            name: The statement to prepare; empty if it has no name.
            sent_names: The number of named statements that were sent to be prepared, and are not noted yet.
        """
        if not name or len(self._prepared_names) + sent_names < _MAX_PREPARED:
            return []
        oldest, _ = self._prepared_names.popitem(last=False)
        self.pgconn.send_close_prepared(oldest)
        return [_Sent(_UNNAMED, prepares=False)]

    def _correct(self, sent: _Sent, result: PGresult) -> bool:
        """Correct the list of prepared statements; return whether it was wrong, so that a retry helps."""
        sqlstate = _sqlstate(result)
        if sqlstate == _STATEMENT_EXISTS and sent.prepares:
            self._prepared_names[sent.name] = None
        elif sqlstate == _NO_SUCH_STATEMENT and sent.name:
            self._prepared_names.pop(sent.name, None)
        else:
            return False
        return self.pgconn.transaction_status == TransactionStatus.IDLE

    async def _collect(self, results: list[PGresult], *, in_pipeline: bool = False) -> list[PGresult]:
        """Wait for the results of the sent commands, without that of a Sync, and add them to the list."""
        step = partial(self._advance, results, in_pipeline=in_pipeline)
        try:
            self._socket.flush()
            await self._socket.until(step)
        except asyncio.CancelledError:
            await self._abandon(step)
            raise
        except BaseException:
            self.drop()  # the next statement would read a late answer as its own
            raise
        return results

    def _advance(self, results: list[PGresult], *, in_pipeline: bool) -> bool:
        """Send the remaining bytes, take the results that have arrived, and return whether all have."""
        self._socket.flush()
        self.pgconn.consume_input()
        between = False
        while not self.pgconn.is_busy():
            result = self.pgconn.get_result()
            if result is None:
                if between or not in_pipeline:
                    return not in_pipeline
                between = True
            elif result.status == ExecStatus.PIPELINE_SYNC:
                return True
            else:
                results.append(result)
                between = False
        return False

    async def _abandon(self, step: Callable[[], bool]) -> None:
        """Cancel the current statement. Afterwards the connection is ready for the next one, or closed."""
        try:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                async with asyncio.timeout(_CANCEL_SECONDS):
                    await self.cancel_safe(timeout=_CANCEL_SECONDS)
                    await self._socket.until(step)
            if self.pgconn.pipeline_status:
                self.pgconn.exit_pipeline_mode()
        except BaseException:  # noqa: BLE001 - cancelled again or failed: the next answer is unknown
            self.drop()


def _sqlstate(result: PGresult) -> bytes | None:
    return None if result.status in _SUCCESSES else result.error_field(DiagnosticField.SQLSTATE)
