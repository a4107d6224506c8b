"""Read the events of a streamed answer of Anthropic's Messages API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from sessionhistory.formats._anthropic_blocks import PAYLOAD_TYPE, PROVIDER, reasoning_of
from sessionhistory.formats._content import Json, dumped, loaded, payload_of
from sessionhistory.formats._repair import arguments_object
from sessionhistory.formats._stream import Finish, Piece, Reader
from sessionhistory.types import MessageStatus, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

_GROWING: Final = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
"""The member of a block to which a delta adds text: both have the same name."""


_CUT: Final = ("max_tokens", "model_context_window_exceeded", "refusal")


def status_of(finish_reason: str) -> MessageStatus:
    """Return the status of an answer: one that a limit has cut may end with half a call."""
    return MessageStatus.INTERRUPTED if finish_reason in _CUT else MessageStatus.COMPLETE


def usage_of(usage: Any) -> Usage | None:  # noqa: ANN401 - any JSON
    """Return the tokens as Anthropic counts them: ``input_tokens`` are those outside of the cache."""
    if not isinstance(usage, dict):
        return None
    made = Usage(
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
        cache_read_tokens=usage.get("cache_read_input_tokens"),
        cache_write_tokens=usage.get("cache_creation_input_tokens"),
    )
    return None if made == Usage() else made


class StreamReader(Reader):
    """Reads the events of an answer. ``feed`` returns the pieces of each for ``append_message_stream``.

    Thinking is a piece when its block ends, because its signature comes last. Blocks of tools that Anthropic
    runs are in the payload only.
    """

    provider: ClassVar[str] = PROVIDER

    def __init__(self, model: str = "") -> None:
        super().__init__(model)
        self._blocks: dict[int, Json] = {}
        self._written: dict[int, str] = {}
        """The arguments of each call, as text, by the index of its block."""
        self._usage: Json = {}
        self._finish_reason = ""
        self._stopped = False
        self._readers: dict[str, Callable[[Json], list[Piece]]] = {
            "message_start": self._start,
            "content_block_start": self._start_block,
            "content_block_delta": self._add,
            "content_block_stop": self._end_block,
            "message_delta": self._end,
            "message_stop": self._stop,
        }

    def feed(self, event: Json | str | bytes) -> list[Piece]:
        """Return the pieces of an event: the object of a line ``data:``."""
        told = loaded(event)
        read = self._readers.get(str(told.get("type")))
        return read(told) if read else []

    def finish(self) -> Finish:
        """Return the arguments of ``finish``. Without ``message_stop`` the message is ``INTERRUPTED``."""
        made = Finish(usage=usage_of(self._usage), finish_reason=self._finish_reason)
        if not self._stopped:
            return Finish(**made, status=MessageStatus.INTERRUPTED)
        blocks = [self._whole(index) for index in sorted(self._blocks)]
        status = status_of(self._finish_reason)
        return Finish(**made, status=status, payload=payload_of(blocks), payload_type=PAYLOAD_TYPE)

    def _start(self, event: Json) -> list[Piece]:
        message = event.get("message") or {}
        self._draft.name_model(str(message.get("model") or ""))
        self._usage.update(message.get("usage") or {})
        return []

    def _start_block(self, event: Json) -> list[Piece]:
        block = dict(event.get("content_block") or {})
        self._blocks[event["index"]] = block
        if block.get("type") == "tool_use":
            self._written[event["index"]] = ""
            return self._draft.call(ToolCall(id=str(block.get("id", "")), name=str(block.get("name", ""))))
        if block.get("type") == "text" and block.get("text"):
            return self._draft.text(block["text"])
        if block.get("type") == "server_tool_use":
            self._written[event["index"]] = ""
        return []

    def _add(self, event: Json) -> list[Piece]:
        """Add a delta to its block."""
        index, delta = event["index"], event.get("delta") or {}
        block, kind = self._blocks[index], delta.get("type")
        if kind == "input_json_delta":
            return self._add_arguments(index, str(delta.get("partial_json", "")))
        if kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]
        if kind not in _GROWING:
            return []
        name = _GROWING[kind]
        block[name] = str(block.get(name) or "") + str(delta.get(name, ""))
        return self._draft.text(delta[name]) if kind == "text_delta" and delta.get(name) else []

    def _add_arguments(self, index: int, text: str) -> list[Piece]:
        self._written[index] = self._written.get(index, "") + text
        if not text or self._blocks[index].get("type") != "tool_use":
            return []
        calls = [place for place in self._blocks if self._blocks[place].get("type") == "tool_use"]
        return self._draft.arguments(calls.index(index), text)

    def _end_block(self, event: Json) -> list[Piece]:
        index = event["index"]
        block = self._blocks[index]
        if block.get("type") == "tool_use" and not self._written[index]:
            return self._add_arguments(index, dumped(block.get("input") or {}))
        thought = reasoning_of(block)
        return self._draft.part(thought) if thought else []

    def _end(self, event: Json) -> list[Piece]:
        delta = event.get("delta") or {}
        self._finish_reason = str(delta.get("stop_reason") or "")
        self._usage.update(
            {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
        )
        return []

    def _stop(self, _: Json) -> list[Piece]:
        self._stopped = True
        return []

    def _whole(self, index: int) -> Json:
        """Return a block with the input that its deltas make."""
        text = self._written.get(index)
        return {**self._blocks[index], "input": arguments_object(text)} if text else self._blocks[index]
