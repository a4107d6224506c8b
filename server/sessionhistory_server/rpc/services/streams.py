"""AppendMessageStream: the caller streams the pieces of a message, and the server stores one message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory_server.errors import FieldViolation, InvalidArgumentError, SessionHistoryError
from sessionhistory_server.model.caller import WRITE
from sessionhistory_server.rpc.convert.append import requested_append, show_append
from sessionhistory_server.rpc.dispatch import rpc
from sessionhistory_server.rpc.streaming.draft import Draft
from sessionhistory_server.rpc.validation import message as rules
from sessionhistory_server.usecases.ids import new_id

if TYPE_CHECKING:
    from sessionhistory.v1 import message_pb2 as mpb
    from sessionhistory_server.model.append import AppendOutcome
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.observability.counters import Metrics
    from sessionhistory_server.rpc.streaming.reader import Reader as AnyReader
    from sessionhistory_server.rpc.validation.checks import Checks
    from sessionhistory_server.usecases.streams import MessageStreams

    Header = stream_pb.AppendMessageStreamHeader
    Finish = stream_pb.AppendMessageStreamFinish
    Response = stream_pb.AppendMessageStreamResponse
    Reader = AnyReader[stream_pb.AppendMessageStreamRequest]


def _check_header(checks: Checks, reader: Reader) -> None:
    rules.check_append_stream(checks, reader.first)


class StreamsServicer:
    """The servicer of messages that callers stream."""

    def __init__(self, streams: MessageStreams, metrics: Metrics) -> None:
        self._streams = streams
        self._metrics = metrics

    @rpc(WRITE, _check_header)
    async def AppendMessageStream(self, caller: Caller, reader: Reader, response: Response) -> None:
        """Store a message that arrives in pieces: all of it at the finish, or the arrived part at a break."""
        header = _header_with_ids(reader)
        await reader.within(self._streams.check(caller, requested_append(header, [header.message])))
        await reader.accept()
        draft = Draft(header.message)
        try:
            with self._metrics.open_stream():
                finish = await _read_to_finish(reader, draft)
            message = _concluded(header, draft, finish)
        except (SessionHistoryError, asyncio.CancelledError) as error:
            await self._keep(caller, reader, header, draft, error)
            raise
        asked = requested_append(header, [message])
        # A cancelled stream may look like a stream that has ended without a finish.
        storing = (
            self._streams.keep(caller, asked, patient=True)
            if finish is None
            else self._streams.store(caller, asked)
        )
        storing.add_done_callback(self._count)
        try:
            self._show(await reader.within(asyncio.shield(storing)), response)
        except SessionHistoryError as error:
            if finish is None and storing.done():
                error.metadata["kept"] = "false"
            raise

    async def _keep(
        self, caller: Caller, reader: Reader, header: Header, draft: Draft, error: BaseException
    ) -> None:
        """Store the arrived part of a broken stream if its header says so, and note that in the error."""
        kept = False
        if _is_kept(header, draft):
            gone = isinstance(error, asyncio.CancelledError)
            asked = requested_append(header, [draft.interrupted()])
            keeping = self._streams.keep(caller, asked, patient=gone)
            keeping.add_done_callback(self._count)
            if gone:
                return
            await reader.within(asyncio.wait((keeping,)))
            kept = keeping.exception() is None
        if isinstance(error, SessionHistoryError):
            error.metadata["kept"] = "true" if kept else "false"

    def _count(self, storing: asyncio.Task[AppendOutcome]) -> None:
        if not storing.cancelled() and not storing.exception():
            self._metrics.count_appended(1)

    def _show(self, outcome: AppendOutcome, response: Response) -> None:
        show_append(outcome, response)
        if outcome.window is not None:
            self._metrics.count_window(outcome.window.cut)


def _header_with_ids(reader: Reader) -> Header:
    """Return the header, with ids. All attempts to store the message must use the same ids."""
    assert reader.first is not None  # noqa: S101 - the rules require it
    header = reader.first.header
    header.session_id = header.session_id or new_id()
    header.message.message_id = header.message.message_id or new_id()
    return header


async def _read_to_finish(reader: Reader, draft: Draft) -> Finish | None:
    """Add all deltas to the draft; return the finish, or ``None`` if the stream ends without one."""
    while (piece := await reader.read()) is not None:
        match piece.WhichOneof("piece"):
            case "delta":
                draft.add(piece.delta)
            case "finish":
                return piece.finish
            case "header":
                raise _invalid("header", "must come once, as the first piece")
            case _:
                raise _invalid("piece", "must set one of header, delta, finish")
    return None


def _concluded(header: Header, draft: Draft, finish: Finish | None) -> mpb.Message:
    """Return the message to store after a stream has ended."""
    if finish is not None:
        return draft.finished(finish)
    if not _is_kept(header, draft):
        raise _invalid("finish", "is required: the stream ended without one")
    return draft.interrupted()


def _is_kept(header: Header, draft: Draft) -> bool:
    """Return whether to store the arrived part if the stream breaks now."""
    return header.on_break != stream_pb.ON_BREAK_DROP and not draft.is_empty


def _invalid(field: str, description: str) -> InvalidArgumentError:
    return InvalidArgumentError(FieldViolation(field, description))
