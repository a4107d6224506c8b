"""The client's method for a message that is stored while it is written, and the stream that it returns."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from sessionhistory._codec.enums import MESSAGE_STATUSES, ON_BREAKS
from sessionhistory._codec.fields import build
from sessionhistory._codec.history import encode_history_options
from sessionhistory._codec.ids import checked_user_id, id_or_new
from sessionhistory._codec.json_text import encode_json_object
from sessionhistory._codec.message import encode_message, encode_usage
from sessionhistory._codec.results import append_message_result
from sessionhistory._codec.session import encode_new_session
from sessionhistory._codec.stream import WrittenMessage
from sessionhistory._transport.retry import may_help
from sessionhistory.errors import SessionHistoryError
from sessionhistory.types import Message, MessageStatus, OnBreak, Role
from sessionhistory.v1 import append_message_stream_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from sessionhistory._sync.transport import Transport
    from sessionhistory._transport import threads
    from sessionhistory.types import (
        AppendMessageResult,
        HistoryOptions,
        JsonObject,
        Part,
        SessionFields,
        Usage,
    )

_METHOD: Final = "AppendMessageStream"
_LONGEST_BREAK_SECONDS: Final = 2.0


class MessageStream:
    """A message that is stored while it is written. Use it as a block: the end of the block stores it.

    Entering the block sends the beginning of the message; it raises the error if the service refuses it.
    Leaving the block finishes the message, unless you called ``finish``. Then ``result`` has the outcome.
    If the block raises an exception, ``on_break`` decides whether the written part is kept.

    A write waits while the service is slower than the writer. If the service refuses the message, a write
    raises the error. If the connection to the service is lost, you can go on writing, and the finish sends
    the whole message again. So it does if the key expires meanwhile, and a function returns a fresh one.
    """

    def __init__(
        self,
        transport: Transport,
        header: pb.AppendMessageStreamRequest,
        *,
        on_break: OnBreak,
        timeout_seconds: float,
    ) -> None:
        self._transport = transport
        self._header = header
        self._on_break = on_break
        self._timeout_seconds = timeout_seconds
        self._written = WrittenMessage(header)
        self._upload: threads.Upload | None = None
        self._open = False
        self.message_id: str = header.header.message.message_id
        """The id of the message, with which you can repeat a failed stream."""
        self.result: AppendMessageResult | None = None
        """The stored message and the session's counters; ``None`` until then."""

    def __enter__(self) -> Self:
        """Open the stream."""
        self._upload = self._transport.upload(_METHOD, self._header, self._timeout_seconds)
        self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish the message; if the block has failed, break the stream."""
        if self._open and kind is None:
            self.finish()
        elif self._open:
            self._break()

    def write(self, text: str) -> None:
        """Add text to the message's content."""
        self._send(self._written.add_text(text))

    def call_tool(self, name: str, arguments: str = "", *, id: str = "") -> int:  # noqa: A002 - as in ToolCall
        """Begin a tool call; return its index, for ``write_arguments``."""
        index, request = self._written.begin_tool_call(name, arguments, id)
        self._send(request)
        return index

    def write_arguments(self, index: int, arguments: str) -> None:
        """Add to the arguments of the tool call with this index. Several tool calls may be interleaved."""
        self._send(self._written.add_arguments(index, arguments))

    def add_part(self, part: Part) -> None:
        """Add a part to the message."""
        self._send(self._written.add_part(part))

    def finish(
        self,
        *,
        usage: Usage | None = None,
        token_count: int | None = None,
        metadata: JsonObject | None = None,
        payload: bytes = b"",
        payload_type: str = "",
        status: MessageStatus = MessageStatus.COMPLETE,
        finish_reason: str = "",
    ) -> AppendMessageResult:
        """Store the message, and return it as it is stored.

        Args:
            usage: The tokens that the model call used.
            token_count: The tokens of the message for a token budget; ``None``: the server counts them.
            metadata: Any data about the message; it replaces the metadata that the message began with.
            payload: A framework's own form of the message.
            payload_type: The type of the payload, such as a media type or a class name.
            status: ``INTERRUPTED`` if the model or a user stopped the generation.
            finish_reason: The reason why the model ended the message, in the provider's own word.
        """
        finish = build(
            pb.AppendMessageStreamFinish,
            "finish",
            usage=encode_usage(usage, "finish.usage"),
            token_count=token_count,
            metadata=encode_json_object(metadata, "finish.metadata"),
            payload=payload,
            payload_type=payload_type,
            status=MESSAGE_STATUSES.encode(status, "finish.status"),
            finish_reason=finish_reason,
        )
        response = self._end(pb.AppendMessageStreamRequest(finish=finish))
        self.result = append_message_result(response)
        return self.result

    def _end(self, last: pb.AppendMessageStreamRequest) -> pb.AppendMessageStreamResponse:
        """Send the last request. If the service is lost, send the whole message again."""
        self._require_open()
        self._open = False
        response: pb.AppendMessageStreamResponse | None = None
        if self._upload is not None:
            with self._losing_the_service():
                response = self._upload.end(last, self._timeout_seconds)
        if response is None:
            whole = (self._written.whole(), last)
            response = self._transport.call(_METHOD, whole, timeout_seconds=self._timeout_seconds)
        return response

    def _send(self, request: pb.AppendMessageStreamRequest) -> None:
        self._require_open()
        if self._upload is not None:
            with self._losing_the_service():
                self._upload.write(request, self._timeout_seconds)

    def _break(self) -> None:
        """End the stream without a finish. If the written part must be kept, it still arrives."""
        self._open = False
        if self._upload is None:
            return
        if self._on_break == OnBreak.DROP:
            self._upload.cancel()
            return
        try:
            self._upload.end(None, min(self._timeout_seconds, _LONGEST_BREAK_SECONDS))
        except BaseException as error:  # noqa: BLE001 - the caller gets the exception of the block
            with suppress(SessionHistoryError, RuntimeError):
                self._transport.failed(error)

    @contextmanager
    def _losing_the_service(self) -> Iterator[None]:
        """Continue without the stream if the service is lost, or the key is; raise any other error."""
        try:
            yield
        except BaseException as error:
            ours = self._transport.failed(error)
            self._upload = None
            if not may_help(ours) and not self._transport.may_succeed_with_another_key(ours):
                raise ours from error

    def _require_open(self) -> None:
        if not self._open:
            raise RuntimeError("the stream is not open")


class Streams:
    """The method that stores a message while it is written."""

    _transport: Transport

    def append_message_stream(  # noqa: PLR0913 - of the contract
        self,
        session_id: str | None,
        message: Message | None = None,
        *,
        user_id: str | None = None,
        new_session: SessionFields | None = None,
        expected_last_sequence: int | None = None,
        history: HistoryOptions | None = None,
        on_break: OnBreak = OnBreak.KEEP,
        timeout_seconds: float | None = None,
    ) -> MessageStream:
        """Return a stream: a block in which you write a message, which is stored at its end.

        Args:
            session_id: The session; ``None``, with ``new_session``: a new one, whose id the client makes.
            message: The beginning of the message; ``None``: an empty message of the assistant.
            user_id: The user that the call acts for, and the owner of a new session.
            new_session: The fields of the session to create at the end if no session has this id; ``None``:
                raise ``SessionNotFoundError``.
            expected_last_sequence: The last sequence that the session must have; otherwise the call raises
                ``SequenceMismatchError``.
            history: Return the history with the new message, with these limits and options.
            on_break: Whether the written part is kept if the block fails, or if the service loses the caller.
            timeout_seconds: How long each step may take: the opening, a write that has to wait, the finish.
                The stream itself may last as long as you write to it.
        """
        header = build(
            pb.AppendMessageStreamHeader,
            "header",
            session_id=id_or_new(session_id, new_session),
            user_id=checked_user_id(user_id),
            message=encode_message(message or Message(role=Role.ASSISTANT), "header.message"),
            new_session=encode_new_session(new_session, "header.new_session"),
            expected_last_sequence=expected_last_sequence,
            history=encode_history_options(history, "header.history"),
            on_break=ON_BREAKS.encode(on_break, "header.on_break"),
        )
        return MessageStream(
            self._transport,
            pb.AppendMessageStreamRequest(header=header),
            on_break=on_break,
            timeout_seconds=self._transport.limit(timeout_seconds),
        )
