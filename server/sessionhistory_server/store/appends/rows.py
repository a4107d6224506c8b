"""Insert messages as rows of ``values``, whose session is known before."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

from sessionhistory_server.store.columns.message import (
    SENT_COLUMNS,
    column_type,
    message_records,
)
from sessionhistory_server.store.columns.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sessionhistory_server.model.message import NewMessage
    from sessionhistory_server.store.postgres.connection import Connection

_COLUMNS: Final = ("sequence", *SENT_COLUMNS)


class Base(NamedTuple):
    """The end of a session before the new messages, and the time of the new messages."""

    session_key: str
    create_time: int
    sequence: int
    tokens_through: int
    bytes_through: int


async def insert(connection: Connection, base: Base, new: Sequence[NewMessage]) -> None:
    """Insert messages after the end of a session whose row the transaction has locked.

    Raises:
        psycopg.errors.UniqueViolation: one of them is stored already.
    """
    records = message_records(new)
    for count in _counts(len(new)):
        await connection.fetch(_insert(count), _parameters(base, islice(records, count)))


def _counts(total: int) -> Iterator[int]:
    """Yield the powers of two that add up to a number: each text of a statement stays prepared."""
    return (1 << bit for bit in reversed(range(total.bit_length())) if total & 1 << bit)


def _parameters(base: Base, records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "session_key": base.session_key,
        "create_time": timestamp(base.create_time),
    }
    for place, record in enumerate(records):
        record["sequence"] = base.sequence + record["ordinal"]
        record["tokens_through"] += base.tokens_through
        record["bytes_through"] += base.bytes_through
        parameters |= {f"{name}_{place}": record.get(name) for name in _COLUMNS}
    return parameters


@lru_cache
def _insert(count: int) -> LiteralString:
    rows = ", ".join(_row(place) for place in range(count))
    return f"insert into messages (session_key, create_time, {', '.join(_COLUMNS)}) values {rows}"


def _row(place: int) -> LiteralString:
    values = ", ".join(_value(name, f"%({name}_{place})s") for name in _COLUMNS)
    return f"(%(session_key)s::uuid, %(create_time)s::timestamptz, {values})"


def _value(name: str, parameter: LiteralString) -> LiteralString:
    typed = f"{parameter}::{column_type(name)}"
    return f"decode({typed}, 'base64')" if name == "payload" else typed
