"""Watch a call from both sides: its answer, and the statements that the server runs for it."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from google.protobuf import text_format
from google.rpc import error_details_pb2, status_pb2
from valid_requests import REQUEST_ID

from sessionhistory_server import call_context
from sessionhistory_server.store.postgres.batching import Batcher
from sessionhistory_server.store.postgres.connection import Connection
from support.plans import Statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    import pytest
    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message
    from party import Party

_MADE = re.compile(r"\b[0-9a-f]{32}\b")
# gRPC's client loses the status of a refused stream that arrives while it writes a piece.
_LOST_ANSWER = "Internal error from Core"
_VARIES = re.compile(r"(seconds|nanos|etag|create_time|purge_time|next_page_token|secret): \S+")


class Step(NamedTuple):
    """A statement, and the number of rows that it returned; or the begin or the end of a transaction."""

    text: str
    rows: int


class Seen(NamedTuple):
    """What a caller and a database see of a call."""

    answer: str
    steps: list[Step]


class Watcher:
    """The statements of watched calls, in their order."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.statements: list[Statement] = []

    async def seen(
        self, party: Party, method: MethodDescriptor, requests: Sequence[Message], named: dict[str, str]
    ) -> Seen:
        """Make a call, and return its answer and its steps, with names in place of ids and numbers.

        Args:
            party: The caller.
            method: The RPC.
            requests: The requests of the call.
            named: The names of ids and numbers.
        """
        answer = _LOST_ANSWER
        while _LOST_ANSWER in answer:
            self.steps, self.statements = [], []
            answer = await _answer(party, method, requests)
        for value, name in named.items():
            answer = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", name, answer)
        return Seen(_VARIES.sub(r"\1", _MADE.sub("an id that was made", answer)), [*self.steps])

    def note(self, text: str, rows: int = 0) -> None:
        """Note a step, if a watched call takes it."""
        if _is_of_call():
            self.steps.append(Step(text, rows))


@contextmanager
def watching(patch: pytest.MonkeyPatch) -> Iterator[Watcher]:
    """Watch the statements and the transactions of all connections."""
    watcher = Watcher()
    send, begin = Connection.fetch, Connection.transaction

    async def fetch(connection: Connection, query: Any, parameters: Any, **options: Any) -> Any:
        if _is_of_call():
            watcher.statements.append(Statement(str(query), dict(parameters)))
        try:
            rows = await send(connection, query, parameters, **options)
        except Exception as error:
            watcher.note(f"{type(error).__name__}: {query}")
            raise
        watcher.note(str(query), len(rows))
        return rows

    @asynccontextmanager
    async def transaction(connection: Connection, *args: Any, **options: Any) -> AsyncIterator[Any]:
        watcher.note("begin")
        try:
            async with begin(connection, *args, **options) as begun:
                yield begun
        except BaseException:
            watcher.note("rollback")
            raise
        watcher.note("commit")

    with patch.context() as patched:
        patched.setattr(Connection, "fetch", fetch)
        patched.setattr(Connection, "transaction", transaction)
        yield watcher


def _is_of_call() -> bool:
    """Return whether the current task belongs to a watched call, or sends the statement that calls share."""
    if call_context.current().request_id == REQUEST_ID:
        return True
    task = asyncio.current_task()
    coroutine: Any = task and task.get_coro()
    return getattr(coroutine, "__qualname__", "") == Batcher._serve.__qualname__  # noqa: SLF001


async def _answer(party: Party, method: MethodDescriptor, requests: Sequence[Message]) -> str:
    """Return an answer as text: the responses, or the code, the message, the details and the metadata."""
    try:
        responses = await party.call(method, requests, is_watched=True)
    except grpc.aio.AioRpcError as error:
        metadata: dict[str, Any] = dict(error.trailing_metadata() or ())
        details = metadata.pop("grpc-status-details-bin", b"")
        shown = _shown(status_pb2.Status.FromString(details))
        return f"{error.code()} {error.details()}\n{shown}\n{sorted(metadata.items())}"
    return "\n".join(_response(response) for response in responses)


def _response(response: Any) -> str:
    """Return a response as text, with the errors of the calls of a CallStream in clear."""
    text = text_format.MessageToString(response)
    failed = [each.error for each in getattr(response, "outcomes", ()) if each.HasField("error")]
    if not failed:
        return text
    return "\n".join(f"{_name(error.code)} {_shown(error)}" for error in failed)


def _name(code: int) -> str:
    return next(each.name for each in grpc.StatusCode if each.value[0] == code)


def _shown(status: Any) -> str:
    lines = [f"{status.code} {status.message}"]
    for packed in status.details:
        if packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(packed.value)
            lines.append(f"{info.reason} {info.domain} {sorted(info.metadata.items())}")
        else:
            lines.append(f"{packed.type_url} {packed.value!r}")
    return "\n".join(lines)
