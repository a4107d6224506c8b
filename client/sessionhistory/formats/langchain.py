"""LangChain's messages, as ``messages_to_dict`` dumps them: for a chat model, a graph's state, or a store.

``messages_from_dict`` of LangChain makes messages of the items. Conversion back gives the same messages in
the order of the request: for a request that ``to_request`` has made, ``to_request(from_request(request))`` is
the request. Role, name, text, reasoning, calls, results and media are kept. The arguments of a call are an
object, so a text that is no object becomes one. Parallel calls that were stored apart are one message, and so
are several results of one call. JSON is text. The ids of messages are not sent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sessionhistory.formats._arrange import NO_RESULT, Called, Said, Unanswered, arrange, messages_of
from sessionhistory.formats._call_ids import IdRule
from sessionhistory.formats._content import loaded, payload_of
from sessionhistory.formats._langchain_messages import (
    PAYLOAD_TYPE,
    REMOVE,
    blocks,
    normal,
    own_item,
    read,
    read_block,
    read_with_payload,
    written,
    written_call,
)
from sessionhistory.formats._langchain_rules import violations
from sessionhistory.formats._stream import Finish, Piece, Reader
from sessionhistory.types import History, Message, MessageStatus, Role, TextPart, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sessionhistory.formats._arrange import AnsweredCall
    from sessionhistory.formats._content import Json

__all__ = ["PAYLOAD_TYPE", "StreamReader", "from_request", "from_response", "to_request", "violations"]

_EMPTY: Final = frozenset({"content", "name", "additional_kwargs"})
_IDS: Final = IdRule(max_length=8_192)


def to_request(
    messages: History | Iterable[Message], *, unanswered: Unanswered = Unanswered.MARKER
) -> dict[str, Any]:
    """Return ``{"messages": [...]}``, whose list is for ``messages_from_dict``.

    Args:
        messages: A history, or messages in stored order.
        unanswered: How to convert a tool call without a result, which models refuse.
    """
    items: list[Json] = []
    for step in arrange(_saying(messages), unanswered=unanswered, ids=_IDS):
        items.extend(_said(step.message) if isinstance(step, Said) else _called(step))
    return {"messages": items}


def from_request(request: Json | list[Json] | str | bytes) -> list[Message]:
    """Return the messages of dumped messages: ``{"messages": [...]}``, or the list itself.

    Each item is in the form of ``messages_to_dict``, of ``dumpd``, or of a message's ``model_dump``.
    """
    items = request if isinstance(request, list) else loaded(request)["messages"]
    return [read_with_payload(item) for item in items if normal(item)["type"] != REMOVE]


def from_response(response: Json | str | bytes) -> list[Message]:
    """Return the message of a dumped ``AIMessage``, with it as payload."""
    return [_answer(normal(loaded(response)))]


def _answer(item: Json) -> Message:
    return replace(read(item), payload=payload_of(item), payload_type=PAYLOAD_TYPE)


def _saying(messages: History | Iterable[Message]) -> Iterator[Message]:
    """Yield the messages that say something, without their empty texts.

    The others have no item, so they must not part a message of reasoning from the calls behind it.
    """
    for message in messages_of(messages):
        parts = tuple(part for part in message.parts if part != TextPart(""))
        told = replace(message, parts=parts)
        if told.tool_calls or told.role is Role.TOOL or _said(told):
            yield told


def _said(message: Message) -> list[Json]:
    """Return the item of a message, or none of one that says nothing, for example without its calls."""
    item = own_item(message) or written(message)
    return [item] if item["data"]["content"] or item["data"].keys() - _EMPTY else []


def _called(step: Called) -> Iterator[Json]:
    """Yield the message with the calls of all messages of a row, and their results."""
    speaker = next(caller for caller in step.callers if caller.calls)
    single = len(step.callers) == 1
    own = own_item(speaker.message) if single and not speaker.altered else None
    data = (own or written(speaker.message))["data"]
    data.pop("invalid_tool_calls", None)
    if not single:
        data["content"] = blocks(caller.message for caller in step.callers)
    yield {"type": "ai", "data": data | {"tool_calls": [written_call(one.call) for one in step.calls]}}
    yield from map(_result, step.calls)


def _result(answered: AnsweredCall) -> Json:
    """Return the one result of a call that models take."""
    made: Json = {"content": NO_RESULT, "tool_call_id": answered.call.id}
    match answered.results:
        case ():
            return {"type": "tool", "data": made}
        case (result,):
            item = own_item(result) or written(result)
            return {"type": "tool", "data": item["data"] | {"tool_call_id": answered.call.id}}
    return {"type": "tool", "data": made | {"content": blocks(answered.results)}}


class StreamReader(Reader):
    """Reads the dumped chunks of a streamed answer: ``chunk.model_dump()`` of each ``AIMessageChunk``."""

    provider: ClassVar[str] = ""

    def __init__(self, model: str = "") -> None:
        super().__init__(model)
        self._item: Json = {}
        self._text = ""
        self._blocks: list[Json] = []
        self._calls: dict[object, int] = {}
        self._whole = False

    def feed(self, event: Json | str | bytes) -> list[Piece]:
        """Return the pieces of a chunk. Each has ``write_to``, which takes the stream."""
        chunk = normal(loaded(event))["data"]
        about = chunk.get("response_metadata") or {}
        self._whole = self._whole or bool(about) or chunk.get("chunk_position") == "last"
        self._item = _joined(self._item, {name: chunk[name] for name in _ABOUT if name in chunk})
        pieces = [piece for one in _as_list(chunk["content"]) for piece in self._block(one)]
        for call in chunk.get("tool_call_chunks") or ():
            pieces += self._call(call)
        return pieces

    def finish(self) -> Finish:
        """Return the arguments of the stream's ``finish``. Without the last chunk it is ``INTERRUPTED``."""
        message = self.message()
        return Finish(
            usage=message.usage,
            payload=message.payload,
            payload_type=message.payload_type,
            status=message.status,
            finish_reason=message.finish_reason,
        )

    def message(self) -> Message:
        """Return the whole message, as the stream stores it."""
        calls = [written_call(call) for call in self._draft.calls]
        content = self._content()
        data = {"content": content, **self._item, **({"tool_calls": calls} if calls else {})}
        made = _answer(normal({"type": "ai", "data": data}))
        told = replace(
            made,
            content=self._draft.content,
            parts=tuple(self._draft.parts),
            tool_calls=tuple(self._draft.calls),
            model=self._draft.header.model or made.model,
        )
        return told if self._whole else replace(told, status=MessageStatus.INTERRUPTED)

    def _content(self) -> str | list[Json]:
        text = self._draft.content or ""
        if not self._blocks:
            return text
        return [*self._blocks, *([{"type": "text", "text": text}] if text else [])]

    def _block(self, block: str | Json) -> list[Piece]:
        part = read_block(block)
        if part is None or part == TextPart(""):
            return []
        if isinstance(part, TextPart):
            return self._draft.text(part.text)
        self._blocks.append(block if isinstance(block, dict) else {})
        return self._draft.part(part)

    def _call(self, chunk: Json) -> list[Piece]:
        """Return the pieces of a call, which begins with its name."""
        index = chunk.get("index")
        arguments = chunk.get("args") or ""
        if index in self._calls and not chunk.get("name"):
            return self._draft.arguments(self._calls[index], arguments) if arguments else []
        if not chunk.get("name"):
            return []
        self._calls[index] = len(self._draft.calls)
        return self._draft.call(ToolCall(id=chunk.get("id") or "", name=chunk["name"], arguments=arguments))


_ABOUT: Final = ("id", "name", "additional_kwargs", "response_metadata", "usage_metadata")


def _as_list(content: str | list[str | Json]) -> list[str | Json]:
    return [content] if isinstance(content, str) else content


def _joined(one: Json, other: Json) -> Json:
    """Return what two chunks say together: numbers are added, objects joined, and the newer text counts."""
    made = dict(one)
    for name, value in other.items():
        before = made.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            made[name] = _joined(before, value)
        elif isinstance(before, int) and isinstance(value, int):
            made[name] = before + value
        else:
            made[name] = value
    return made
