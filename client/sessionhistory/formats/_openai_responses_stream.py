"""Answers of OpenAI's Responses API, whole and as events of a stream."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

from sessionhistory.formats._content import loaded, payload_of
from sessionhistory.formats._openai_responses_items import (
    CALLS,
    PAYLOAD_TYPE,
    REASONING,
    SEPARATOR,
    read_answer,
    read_call,
    read_reasoning,
    texts_of,
    type_of,
)
from sessionhistory.formats._stream import Finish, Piece, Reader
from sessionhistory.types import Message, MessageStatus, Usage

if TYPE_CHECKING:
    from sessionhistory.formats._content import Json

PROVIDER: Final = "openai"

_COMPLETED: Final = "completed"
_TEXTS: Final = ("response.output_text.delta", "response.refusal.delta")
_ARGUMENTS: Final = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")
_BEGUN: Final = "response.output_item.added"
_DONE: Final = "response.output_item.done"


def answer(response: Json) -> Message:
    """Return the message of a response."""
    return replace(
        read_answer(response.get("output") or []),
        provider=PROVIDER,
        model=response.get("model") or "",
        **finish_of(response),
    )


def finish_of(response: Json) -> Finish:
    """Return the end of a response: its usage, status, finish reason and payload."""
    status = response.get("status") or ""
    details = response.get("incomplete_details") or {}
    items = response.get("output") or []
    return Finish(
        usage=_usage(response.get("usage")),
        payload=payload_of(items) if items else b"",
        payload_type=PAYLOAD_TYPE if items else "",
        status=MessageStatus.COMPLETE if status in ("", _COMPLETED) else MessageStatus.INTERRUPTED,
        finish_reason=details.get("reason") or status,
    )


def _usage(usage: Json | None) -> Usage | None:
    if not usage:
        return None
    details = usage.get("input_tokens_details") or {}
    return Usage(
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
        cache_read_tokens=details.get("cached_tokens"),
        cache_write_tokens=details.get("cache_write_tokens"),
    )


class StreamReader(Reader):
    """Reads the events of a streamed answer."""

    provider: ClassVar[str] = PROVIDER

    def __init__(self, model: str = "") -> None:
        super().__init__(model)
        self._response: Json | None = None
        self._calls: dict[int, int] = {}
        self._speaking: tuple[int, int] | None = None
        self._spoken: set[int] = set()

    def feed(self, event: Json | str | bytes) -> list[Piece]:
        """Return the pieces of an event. Each has ``write_to``, which takes the stream."""
        told = loaded(event)
        kind, index = told.get("type"), told.get("output_index", 0)
        if kind in _TEXTS:
            return self._text(index, told.get("content_index", 0), told["delta"])
        if kind in _ARGUMENTS and index in self._calls:
            return self._draft.arguments(self._calls[index], told["delta"])
        if kind == _BEGUN:
            return self._begin(index, told["item"])
        if kind == _DONE:
            return self._done(index, told["item"])
        if isinstance(told.get("response"), dict):
            self._keep(told["response"])
        return []

    def finish(self) -> Finish:
        """Return the arguments of the stream's ``finish``. Without the last event it is ``INTERRUPTED``."""
        if self._response is None:
            return Finish(status=MessageStatus.INTERRUPTED)
        return finish_of(self._response)

    def _keep(self, response: Json) -> None:
        """Keep the model that the first event names, and the response of the last event."""
        self._draft.name_model(response.get("model") or "")
        if response.get("status") not in ("queued", "in_progress"):
            self._response = response

    def _text(self, index: int, content_index: int, text: str) -> list[Piece]:
        if not text:
            return []
        place = (index, content_index)
        separate = self._draft.content and self._speaking != place
        self._speaking = place
        self._spoken.add(index)
        return self._draft.text(SEPARATOR + text if separate else text)

    def _begin(self, index: int, item: Json) -> list[Piece]:
        """Begin a call whose name the item has. Its arguments follow."""
        if type_of(item) not in CALLS or "name" not in item:
            return []
        self._calls[index] = len(self._draft.calls)
        return self._draft.call(read_call(item))

    def _done(self, index: int, item: Json) -> list[Piece]:
        """Return the pieces of a whole item that no event has told before."""
        kind = type_of(item)
        if kind == REASONING:
            return [piece for part in read_reasoning(item) for piece in self._draft.part(part)]
        if kind in CALLS and index not in self._calls:
            self._calls[index] = len(self._draft.calls)
            return self._draft.call(read_call(item))
        if kind == "message" and index not in self._spoken:
            texts = enumerate(texts_of([item]))
            return [piece for place, text in texts for piece in self._text(index, place, text)]
        return []
