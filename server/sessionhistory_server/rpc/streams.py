"""AppendMessageStream: a message is read piece by piece, and then stored as any other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory_server.errors import FieldViolation, InvalidArgumentError, SessionHistoryError
from sessionhistory_server.history import new_id
from sessionhistory_server.rpc import appends, messages, validate
from sessionhistory_server.rpc.base import Servicer
from sessionhistory_server.rpc.drafts import Draft

if TYPE_CHECKING:
    from sessionhistory_server.append_stream import AppendStreams, Outcome
    from sessionhistory_server.metrics import Metrics
    from sessionhistory_server.rpc.pieces import Pieces as AnyPieces

    Header = stream_pb.AppendMessageStreamHeader
    Finish = stream_pb.AppendMessageStreamFinish
    Response = stream_pb.AppendMessageStreamResponse
    Pieces = AnyPieces[stream_pb.AppendMessageStreamRequest]


class StreamServicer(Servicer):
    """Messages that come as streams."""

    def __init__(self, streams: AppendStreams, metrics: Metrics, *, require_user_id: bool) -> None:
        super().__init__(require_user_id=require_user_id)
        self._streams = streams
        self._metrics = metrics

    async def AppendMessageStream(self, pieces: Pieces) -> Response:
        """Store a message that comes in pieces: as a whole at its finish, or what there is if it breaks."""
        header = self._checked_header(await pieces.read())
        await pieces.within(self._streams.check(appends.translated(header, [header.message])))
        await pieces.accept()
        draft = Draft(header.message)
        try:
            with self._metrics.open_stream():
                finish = await _read_to_finish(pieces, draft)
            message = _concluded(header, draft, finish)
        except (SessionHistoryError, asyncio.CancelledError) as error:
            await self._keep(pieces, header, draft, error)
            raise
        request = appends.translated(header, [message])
        # A caller that has cancelled may look like one that has ended its stream without a finish.
        storing = (
            self._streams.keep(request, patient=True) if finish is None else self._streams.store(request)
        )
        storing.add_done_callback(self._count)
        try:
            return self._response(await pieces.within(asyncio.shield(storing)))
        except SessionHistoryError as error:
            if finish is None and storing.done():
                error.metadata["kept"] = "false"
            raise

    def _checked_header(self, piece: stream_pb.AppendMessageStreamRequest | None) -> Header:
        """Return the header, with a role and with ids.

        Raises:
            InvalidArgumentError: it is not there, or it breaks a rule.
        """
        if piece is None or not piece.HasField("header"):
            raise _invalid("header", "is required as the first piece")
        header = piece.header
        header.message.role = header.message.role or mpb.ROLE_ASSISTANT
        checks = appends.checked(header, require_user_id=self.require_user_id, prefix="header.")
        validate.check_message(checks, "message", header.message)
        checks.known("on_break", header.on_break, stream_pb.OnBreak)
        checks.finish()
        header.session_id = header.session_id or header.create_session.session_id or new_id()
        header.message.message_id = header.message.message_id or new_id()
        return header

    async def _keep(self, pieces: Pieces, header: Header, draft: Draft, error: BaseException) -> None:
        """Keep what there is of a stream that has broken, if it is to be kept, and say so in the error."""
        kept = False
        if _is_kept(header, draft):
            gone = isinstance(error, asyncio.CancelledError)
            keeping = self._streams.keep(appends.translated(header, [draft.interrupted()]), patient=gone)
            keeping.add_done_callback(self._count)
            if gone:
                return
            await pieces.within(asyncio.wait((keeping,)))
            kept = keeping.exception() is None
        if isinstance(error, SessionHistoryError):
            error.metadata["kept"] = "true" if kept else "false"

    def _count(self, storing: asyncio.Task[Outcome]) -> None:
        if not storing.cancelled() and not storing.exception():
            self._metrics.count_appended(1)

    def _response(self, outcome: Outcome) -> Response:
        session_id, appended, window = outcome
        response = stream_pb.AppendMessageStreamResponse(
            session_id=session_id,
            **appended.counters._asdict(),
            session_created=appended.session_created,
        )
        messages.show(appended.messages[0], response.message)
        if window is not None:
            self._metrics.count_window(window.cut)
            messages.show_window(window, response.history)
        return response


async def _read_to_finish(pieces: Pieces, draft: Draft) -> Finish | None:
    """Take all deltas; return the finish, ``None`` if the stream ends without one."""
    while (piece := await pieces.read()) is not None:
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
    """Return the message to store of a stream that has ended."""
    if finish is not None:
        return draft.finished(finish)
    if not _is_kept(header, draft):
        raise _invalid("finish", "is required: the stream ended without one")
    return draft.interrupted()


def _is_kept(header: Header, draft: Draft) -> bool:
    """Return whether something is to be stored of a stream that breaks now."""
    return header.on_break != stream_pb.ON_BREAK_DROP and not draft.is_empty


def _invalid(field: str, description: str) -> InvalidArgumentError:
    return InvalidArgumentError(FieldViolation(field, description))
