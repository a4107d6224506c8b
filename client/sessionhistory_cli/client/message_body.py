"""Show the content of a message for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from sessionhistory import JsonPart, MediaPart, ReasoningPart, TextPart
from sessionhistory_cli.client.blocks import Block
from sessionhistory_cli.client.formatting import counted, visible, visible_lines
from sessionhistory_cli.json_output import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory import Message, ToolCall
    from sessionhistory.types import Part

# A text that is longer than the first limit is shortened to its beginning and its end.
_MAX_CHARACTERS: Final = 2_500
_HEAD_CHARACTERS: Final = 1_500
_TAIL_CHARACTERS: Final = 500

_MAX_CHARACTERS_OF_A_CALL: Final = 100
_STEP: Final = 2


class MessageBody:
    """A converter of the content of messages to blocks.

    Args:
        indent: The indentation of all blocks, in columns.
        full: Do not shorten long texts.
    """

    def __init__(self, indent: int, *, full: bool) -> None:
        self._indent = indent
        self._full = full

    def blocks(self, message: Message) -> Iterator[Block]:
        """Yield the content of a message. A missing content is noted only if the message has nothing else."""
        if message.content:
            yield from self._text(message.content)
        elif message.content is not None:
            yield self._note("(empty)")
        elif not (message.parts or message.payload or message.tool_calls):
            yield self._note("(no content)")
        for part in message.parts:
            yield from self._part(part)
        if message.payload:
            yield self._note(
                f"[{visible(message.payload_type) or 'payload'}, {counted(len(message.payload), 'byte')}]"
            )
        for call, label in zip(message.tool_calls, call_labels(message), strict=True):
            yield from self._call(call, label)

    def _part(self, part: Part) -> Iterator[Block]:
        match part:
            case TextPart(text):
                yield self._note("[text]")
                yield from self._text(text)
            case JsonPart(value):
                yield self._note("[json]")
                yield from self._text(json.dumps(to_json(value), ensure_ascii=False, indent=_STEP))
            case ReasoningPart(text, opaque=opaque):
                size = f", {counted(len(opaque), 'character')} opaque" if opaque else ""
                yield self._note(f"[reasoning{size}]")
                if text:
                    yield from self._text(text)
            case MediaPart(mime_type=mime_type, uri=uri, data=data):
                source = visible(uri or "") if data is None else counted(len(data), "byte")
                yield self._note(f"[{visible(mime_type) or 'media'}, {source}]")

    def _call(self, call: ToolCall, label: str) -> Iterator[Block]:
        """Yield a short call as it was written, and a long one with each argument on its own lines."""
        title = Text.assemble("→ ", (label, "cyan"))
        arguments = _long_arguments(call)
        if arguments is None:
            yield from self._text(f"{call.arguments})", after=title + Text("("))
            return
        yield Block(title, self._indent)
        for name, value in arguments.items():
            yield from self._argument(Text(f"{visible(name)}: ", "dim"), value)

    def _argument(self, name: Text, value: object) -> Iterator[Block]:
        if isinstance(value, str) and "\n" in value:
            yield Block(name, self._indent + 2 * _STEP)
            yield from self._text(value, step=3 * _STEP)
        else:
            yield from self._text(json.dumps(value, ensure_ascii=False), after=name, step=2 * _STEP)

    def _text(self, text: str, *, after: Text | None = None, step: int = 0) -> Iterator[Block]:
        """Yield a text that follows another one on its first line. A long text is shortened in the middle."""
        first, *others = self._pieces(text)
        for piece in (after + first if after else first, *others):
            yield Block(piece, self._indent + step)

    def _pieces(self, text: str) -> list[Text]:
        if self._full or len(text) <= _MAX_CHARACTERS:
            return [Text(visible_lines(text))]
        hidden = len(text) - _HEAD_CHARACTERS - _TAIL_CHARACTERS
        return [
            Text(visible_lines(text[:_HEAD_CHARACTERS])),
            Text(f"… {hidden:,} characters are not shown here; --full shows them …", "bold dim"),
            Text(visible_lines(text[-_TAIL_CHARACTERS:])),
        ]

    def _note(self, text: str) -> Block:
        return Block(Text(text, "dim"), self._indent)


def call_labels(message: Message) -> list[str]:
    """Return the labels of calls and results: the names of the tools, numbered if there are several."""
    names = [visible(call.name) for call in message.tool_calls]
    return names if len(names) == 1 else [f"[{number}] {name}" for number, name in enumerate(names, start=1)]


def _long_arguments(call: ToolCall) -> dict[str, Any] | None:
    """Return the arguments of a call by name; ``None`` if the call is short or its arguments are not JSON."""
    try:
        arguments = json.loads(call.arguments, object_pairs_hook=_object_of_unique_names)
    except (ValueError, RecursionError):
        return None
    if not isinstance(arguments, dict) or not arguments:
        return None
    lines = any(isinstance(value, str) and "\n" in value for value in arguments.values())
    return arguments if lines or len(call.arguments) > _MAX_CHARACTERS_OF_A_CALL else None


def _object_of_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; raise an error if a name occurs twice, because one of its values would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found
