"""OpenAI's Chat Completions API, which many servers have: the ``messages`` of a request, and answers.

Conversion back gives the same messages in the order of the request: for a request that ``to_request`` has
made, ``to_request(from_request(request))`` is the request. Role, text, calls, results and media are kept. A
request has no place for reasoning without the payload of this API, for the name of a tool that answered, and
for the service's own fields (turn, metadata, usage). Parallel calls that were stored apart are one message,
and so are several results of one call. JSON is text. Media that a role does not take are a message of the
user behind it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sessionhistory.formats._arrange import NO_RESULT, Called, Said, Unanswered, arrange
from sessionhistory.formats._call_ids import IdRule
from sessionhistory.formats._content import loaded, payload_of
from sessionhistory.formats._names import accepted_name
from sessionhistory.formats._openai_chat_items import (
    PAYLOAD_TYPE,
    REASONING_KEYS,
    own_item,
    raw_call,
    read,
    read_with_payload,
    refused_media,
    texts_as_parts,
    written,
    written_call,
)
from sessionhistory.formats._openai_chat_rules import MAX_CALL_ID_LENGTH, violations
from sessionhistory.formats._stream import Finish, Piece, Reader
from sessionhistory.types import (
    History,
    Message,
    MessageStatus,
    ReasoningPart,
    Role,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sessionhistory.formats._arrange import AnsweredCall, Caller
    from sessionhistory.formats._content import Json

__all__ = ["PAYLOAD_TYPE", "StreamReader", "from_request", "from_response", "to_request", "violations"]

_PROVIDER: Final = "openai"
_IDS: Final = IdRule(max_length=MAX_CALL_ID_LENGTH)
_CUT: Final = ("length", "content_filter")
_SPOKEN: Final = ("content", "tool_calls", "refusal", "audio", "function_call")


def to_request(
    messages: History | Iterable[Message], *, unanswered: Unanswered = Unanswered.MARKER
) -> dict[str, Any]:
    """Return ``{"messages": [...]}`` for a request.

    Args:
        messages: A history, or messages in stored order.
        unanswered: How to convert a tool call without a result, which the API refuses.
    """
    items: list[Json] = []
    for step in arrange(messages, unanswered=unanswered, ids=_IDS):
        items.extend(_said(step) if isinstance(step, Said) else _called(step))
    return {"messages": items}


def from_request(request: Json | str | bytes) -> list[Message]:
    """Return the messages of a request: an object, JSON text, or its bytes."""
    return [read_with_payload(item) for item in loaded(request)["messages"]]


def from_response(response: Json | str | bytes) -> list[Message]:
    """Return the message of a response, or none if it has no choice. Of several choices it is the first.

    ``payload`` is the API's message without members that are empty, so that a stream of the
    same answer stores the same.
    """
    completion = loaded(response)
    return [
        replace(
            read(choice["message"] | {"content": choice["message"].get("content") or None}),
            provider=_PROVIDER,
            model=completion.get("model") or "",
            status=_status(choice.get("finish_reason") or ""),
            finish_reason=choice.get("finish_reason") or "",
            usage=_usage(completion.get("usage")),
            payload=_payload(choice["message"]),
            payload_type=PAYLOAD_TYPE,
        )
        for choice in completion.get("choices", ())[:1]
    ]


def _said(step: Said) -> Iterator[Json]:
    item = own_item(step.message) or written(step.message)
    if any(item.get(name) for name in _SPOKEN):
        yield item
    yield from _shown(refused_media(step.message))


def _called(step: Called) -> Iterator[Json]:
    """Yield the message with the calls of all messages of a row, and their results."""
    items = [_caller(caller) for caller in step.callers if caller.calls]
    calls = [call for item in items for call in item["tool_calls"]]
    yield items[0] | {"tool_calls": calls}
    yield from map(_result, step.calls)
    results = [result for answered in step.calls for result in answered.results]
    messages = (*(caller.message for caller in step.callers), *results)
    yield from _shown([part for message in messages for part in refused_media(message)])


def _shown(media: list[Json]) -> Iterator[Json]:
    """Yield a message of the user with media that another role does not take."""
    if media:
        yield {"role": Role.USER.value, "content": media}


def _caller(caller: Caller) -> Json:
    """Return the item of a message with calls: its own one with the calls that are kept, as they are sent."""
    own = own_item(caller.message)
    item = own or written(caller.message)
    stored = (own or {}).get("tool_calls") or []
    item.pop("function_call", None)
    return item | {"tool_calls": [_call(answered, stored) for answered in caller.calls]}


def _call(answered: AnsweredCall, stored: list[Json]) -> Json:
    item = stored[answered.index] if answered.index < len(stored) else {}
    if item.get("type") == "custom":
        custom = item["custom"] | {"name": accepted_name(item["custom"]["name"])}
        return item | {"id": answered.call.id, "custom": custom}
    made = written_call(answered.call)
    return item | made | {"function": item.get("function", {}) | made["function"]}


def _result(answered: AnsweredCall) -> Json:
    """Return the one result of a call that the API takes."""
    made: Json = {"role": Role.TOOL.value, "tool_call_id": answered.call.id, "content": NO_RESULT}
    match answered.results:
        case ():
            return made
        case (result,):
            return (own_item(result) or written(result)) | {"tool_call_id": answered.call.id}
    return made | {"content": texts_as_parts(answered.results) or ""}


def _payload(message: Json) -> bytes:
    """Return an answer's message as a payload, in one order of members."""
    known = ("role", "content", "refusal", *REASONING_KEYS, "tool_calls")
    item = {name: message.get(name) for name in known} | message
    kept = {name: value for name, value in item.items() if value not in (None, "", [])}
    return payload_of({"role": Role.ASSISTANT.value, "content": None} | kept)


def _status(finish_reason: str) -> MessageStatus:
    """Return whether an answer is whole. One that was cut may have half arguments."""
    is_cut = not finish_reason or finish_reason in _CUT
    return MessageStatus.INTERRUPTED if is_cut else MessageStatus.COMPLETE


def _usage(usage: Json | None) -> Usage | None:
    if not usage:
        return None
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
        cache_read_tokens=details.get("cached_tokens"),
        cache_write_tokens=details.get("cache_write_tokens"),
    )


class StreamReader(Reader):
    """Reads the chunks of a streamed answer. Ask for ``stream_options: {"include_usage": true}``."""

    provider: ClassVar[str] = _PROVIDER

    def __init__(self, model: str = "") -> None:
        super().__init__(model)
        self._usage: Usage | None = None
        self._finish_reason = ""
        self._said: dict[str, str] = {}
        self._reasoning = ""
        self._calls: dict[int, Json] = {}
        self._newest: dict[int | None, int] = {}
        """The number of the newest call of each index of the API."""
        self._places: dict[int, int] = {}
        self._custom: list[bool] = []

    def feed(self, event: Json | str | bytes) -> list[Piece]:
        """Return the pieces of a chunk. Each has ``write_to``, which takes the stream."""
        chunk = loaded(event)
        self._draft.name_model(chunk.get("model") or "")
        self._usage = _usage(chunk.get("usage")) or self._usage
        pieces: list[Piece] = []
        for choice in chunk.get("choices") or ():
            if choice.get("index", 0) == 0:
                pieces += self._delta(choice.get("delta") or {})
                self._finish_reason = choice.get("finish_reason") or self._finish_reason
        if self._finish_reason:
            pieces += self._think()
        return pieces

    def finish(self) -> Finish:
        """Return the arguments of the stream's ``finish``. Without the last chunk it is ``INTERRUPTED``."""
        return Finish(
            usage=self._usage,
            payload=_payload(self._item()),
            payload_type=PAYLOAD_TYPE,
            status=_status(self._finish_reason),
            finish_reason=self._finish_reason,
        )

    def _delta(self, delta: Json) -> list[Piece]:
        pieces: list[Piece] = []
        for name in REASONING_KEYS:
            self._add(name, delta.get(name))
        for name in ("content", "refusal"):
            if text := delta.get(name):
                pieces += [*self._think(), *self._draft.text(text)]
            self._add(name, delta.get(name))
        for call in delta.get("tool_calls") or ():
            pieces += [*self._think(), *self._call(call)]
        return pieces

    def _add(self, name: str, text: str | None) -> None:
        if text is not None:
            self._said[name] = self._said.get(name, "") + text

    def _think(self) -> list[Piece]:
        """Return the reasoning as a part, once, when something else follows it."""
        text = next((self._said[name] for name in REASONING_KEYS if self._said.get(name)), "")
        if not text or self._draft.parts:
            return []
        return self._draft.part(ReasoningPart(text))

    def _call(self, delta: Json) -> list[Piece]:
        """Return the pieces of a call, which begins when its name has arrived."""
        custom = delta.get("custom") or {}
        function = delta.get("function") or custom | {"arguments": custom.get("input")}
        index = self._number_of(delta, is_named=bool(function.get("name")))
        if index in self._places:
            arguments = function.get("arguments") or ""
            return self._draft.arguments(self._places[index], arguments) if arguments else []
        begun = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        begun["id"] = delta.get("id") or begun["id"]
        for name in ("name", "arguments"):
            begun[name] += function.get(name) or ""
        if not begun["name"]:
            return []
        self._places[index] = len(self._draft.calls)
        self._custom.append(bool(custom))
        return self._draft.call(ToolCall(**begun))

    def _number_of(self, delta: Json, *, is_named: bool) -> int:
        """Return the number of a delta's call. Some servers give all calls one index, or none."""
        index, call_id = delta.get("index"), delta.get("id")
        number = self._newest.get(index)
        is_other = self._calls[number]["id"] not in ("", call_id) if number is not None and call_id else False
        if number is None or is_other or (index is None and is_named and not call_id):
            number = self._newest[index] = len(self._calls)
        return number

    def _item(self) -> Json:
        item: Json = {"role": Role.ASSISTANT.value, **self._said}
        calls = zip(self._draft.calls, self._custom, strict=True)
        return item | {"tool_calls": [raw_call(call, custom=custom) for call, custom in calls]}
