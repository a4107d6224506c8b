"""A message that is stored while it is written."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from sessionhistory import _pieces, _responses
from sessionhistory._retry import may_help
from sessionhistory.errors import SessionHistoryError
from sessionhistory.types import Message, MessageStatus, OnBreak, Role

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from sessionhistory._async.transport import AsyncTransport
    from sessionhistory._uploads import AsyncUpload
    from sessionhistory.types import AppendMessageResult, HistoryOptions, JsonObject, Part, Session, Usage

_METHOD: Final = "AppendMessageStream"
_LONGEST_BREAK_SECONDS: Final = 2.0


class AsyncMessageStream:
    """A message that is stored while it is written: a block, whose end is the message's.

    Entering the block sends what the message begins with, and raises what the message would be refused for.
    Leaving it finishes the message, unless ``finish`` has done so; ``result`` then has what was stored.
    Leaving it by an exception breaks the stream: what was written is kept or dropped, as ``on_break`` says.

    A write waits while the service is slower than the writer, and raises what the service refuses. If the
    service is lost meanwhile, writing goes on, and the finish sends the whole message once more.
    """

    def __init__(
        self, transport: AsyncTransport, header: _pieces.Piece, *, on_break: OnBreak, timeout_seconds: float
    ) -> None:
        self._transport = transport
        self._header = header
        self._on_break = on_break
        self._timeout_seconds = timeout_seconds
        self._written = _pieces.Written(header)
        self._upload: AsyncUpload | None = None
        self._open = False
        self.message_id: str = header.header.message.message_id
        """The message's id, by which a stream that has failed can be repeated."""
        self.result: AppendMessageResult | None = None
        """What was stored, once it is."""

    async def __aenter__(self) -> Self:
        """Open the stream."""
        self._upload = await self._transport.upload(_METHOD, self._header, self._timeout_seconds)
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish the message; or break the stream, if the block has failed."""
        if self._open and kind is None:
            await self.finish()
        elif self._open:
            await self._break()

    async def write(self, text: str) -> None:
        """Add text to the message's content."""
        await self._send(self._written.text(text))

    async def call_tool(self, name: str, arguments: str = "", *, id: str = "") -> int:  # noqa: A002 - as in ToolCall
        """Begin a tool call; return its index, for ``write_arguments``."""
        index, piece = self._written.call(name, arguments, id)
        await self._send(piece)
        return index

    async def write_arguments(self, index: int, arguments: str) -> None:
        """Add to the arguments of the tool call of this index; several calls may come in turn."""
        await self._send(self._written.arguments(index, arguments))

    async def add_part(self, part: Part) -> None:
        """Add a part to the message."""
        await self._send(self._written.part(part))

    async def finish(
        self,
        *,
        usage: Usage | None = None,
        token_count: int | None = None,
        metadata: JsonObject | None = None,
        payload: bytes = b"",
        payload_type: str = "",
        status: MessageStatus = MessageStatus.COMPLETE,
    ) -> AppendMessageResult:
        """Store the message, and return it as it is stored.

        Args:
            usage: What the model call used.
            token_count: What the message weighs against a token budget; ``None``: counted by the server.
            metadata: Anything about the message, instead of what it began with.
            payload: A framework's own form of the message.
            payload_type: What the payload is.
            status: ``INTERRUPTED``, if it was the model that broke off or somebody who stopped it.
        """
        last = _pieces.finish(
            usage=usage,
            token_count=token_count,
            metadata=metadata,
            payload=payload,
            payload_type=payload_type,
            status=status,
        )
        self._require_open()
        self._open = False
        response = None
        if self._upload is not None:
            with self._losing_the_service():
                response = await self._upload.end(last, self._timeout_seconds)
        if response is None:
            whole = (self._written.whole(), last)
            response = await self._transport.call(_METHOD, whole, timeout_seconds=self._timeout_seconds)
        self.result = _responses.append_message_stream_result(response)
        return self.result

    async def _send(self, piece: _pieces.Piece) -> None:
        self._require_open()
        if self._upload is not None:
            with self._losing_the_service():
                await self._upload.write(piece, self._timeout_seconds)

    async def _break(self) -> None:
        """End the stream without a finish: so that what was written arrives, if it is to be kept."""
        self._open = False
        if self._upload is None:
            return
        if self._on_break == OnBreak.DROP:
            self._upload.cancel()
            return
        try:
            await self._upload.end(None, min(self._timeout_seconds, _LONGEST_BREAK_SECONDS))
        except BaseException as error:  # noqa: BLE001 - what the block has failed with is what counts
            with suppress(SessionHistoryError, RuntimeError):
                self._transport.failed(error)

    @contextmanager
    def _losing_the_service(self) -> Iterator[None]:
        """Go on without the stream if the service is lost; raise what else it says."""
        try:
            yield
        except SessionHistoryError:
            self._upload = None
            raise
        except BaseException as error:
            ours = self._transport.failed(error)
            self._upload = None
            if not may_help(ours):
                raise ours from error

    def _require_open(self) -> None:
        if not self._open:
            raise RuntimeError("the stream is not open")


class AsyncStreams:
    """A part of the client."""

    _transport: AsyncTransport

    def append_message_stream(  # noqa: PLR0913 - of the contract
        self,
        session_id: str | None,
        message: Message | None = None,
        *,
        user_id: str | None = None,
        create_session: Session | None = None,
        expected_last_sequence: int | None = None,
        history: HistoryOptions | None = None,
        on_break: OnBreak = OnBreak.KEEP,
        timeout_seconds: float | None = None,
    ) -> AsyncMessageStream:
        """Store a message while it is written: a block, in which it grows, and at whose end it is stored.

        Args:
            session_id: The session; ``None``, with ``create_session``: a new one.
            message: What the message begins with; ``None``: an empty one of the assistant.
            user_id: The user the call acts for.
            create_session: What to make, at the end, if there is no such session.
            expected_last_sequence: What the session's last must be, or ``SequenceMismatchError``.
            history: Return the window after it, with these limits.
            on_break: What becomes of what was written if the block fails, or the service loses its caller.
            timeout_seconds: How long each step may take: opening, a write that has to wait, finishing. The
                whole may take as long as it is written to.
        """
        header = _pieces.header(
            session_id,
            message or Message(role=Role.ASSISTANT),
            user_id=user_id,
            create=create_session,
            expected_last_sequence=expected_last_sequence,
            history=history,
            on_break=on_break,
        )
        limit = self._transport.limit(timeout_seconds)
        return AsyncMessageStream(self._transport, header, on_break=on_break, timeout_seconds=limit)
