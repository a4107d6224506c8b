"""Read the chunks of a streamed answer of Gemini, and the end of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from sessionhistory.formats._content import Json, loaded
from sessionhistory.formats._gemini_checks import CALL, SIGNATURE, parts_of
from sessionhistory.formats._gemini_media import media_of_part
from sessionhistory.formats._gemini_names import camel
from sessionhistory.formats._gemini_parts import (
    PROVIDER,
    answer,
    call_of,
    is_text,
    reasoning_of,
)
from sessionhistory.formats._stream import Finish, Piece, Reader
from sessionhistory.types import MessageStatus, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

_STOP: Final = "STOP"
_TEXT: Final = ({"text"}, {"text", "thought"})
"""The members of parts of text that a stream splits into several."""


def finished(reason: str | None, usage: Json | None) -> Finish:
    """Return the end of an answer. With any other reason than ``STOP`` the answer may be half."""
    whole = reason == _STOP
    return Finish(
        usage=_usage(usage),
        status=MessageStatus.COMPLETE if whole else MessageStatus.INTERRUPTED,
        finish_reason=reason or "",
    )


def _usage(usage: Json | None) -> Usage | None:
    """Return the tokens of a call. Thoughts, which Gemini counts apart, are tokens of the output."""
    if not usage:
        return None
    output = [usage[name] for name in ("candidatesTokenCount", "thoughtsTokenCount") if name in usage]
    return Usage(
        input_tokens=usage.get("promptTokenCount"),
        output_tokens=sum(output) if output else None,
        cache_read_tokens=usage.get("cachedContentTokenCount"),
    )


class StreamReader(Reader):
    """Reads the chunks of an answer. ``feed`` returns the pieces of each for ``append_message_stream``."""

    provider: ClassVar[str] = PROVIDER

    def __init__(self, model: str = "") -> None:
        super().__init__(model)
        self._parts: list[Json] = []
        self._thoughts: list[Json] = []
        """The thoughts that are not written yet, because more of them may follow."""
        self._reason: str | None = None
        self._usage: Json = {}

    def feed(self, event: Json | str | bytes) -> list[Piece]:
        """Return the pieces of a chunk."""
        chunk = camel(loaded(event))
        self._draft.name_model(chunk.get("modelVersion") or "")
        self._usage.update(chunk.get("usageMetadata") or {})
        candidate: Json = next(iter(chunk.get("candidates") or ()), {})
        self._reason = candidate.get("finishReason") or self._reason
        pieces = [piece for part in parts_of(candidate.get("content")) for piece in self._add(part)]
        return [*pieces, *self._think()] if self._reason else pieces

    def finish(self) -> Finish:
        """Return the arguments of ``finish``. Without a finish reason the message is ``INTERRUPTED``."""
        told = answer(self._parts)
        ended = finished(self._reason, self._usage)
        return Finish(**ended, payload=told.payload, payload_type=told.payload_type)

    def _add(self, part: Json) -> Iterator[Piece]:
        """Add a part, and yield its pieces."""
        self._join(part)
        if part.get("thought"):
            self._thoughts.append(part)
            return
        yield from self._think()
        medium = media_of_part(part)
        if is_text(part) and part["text"]:
            yield from self._draft.text(part["text"])
        elif isinstance(part.get(CALL), dict):
            yield from self._draft.call(call_of(part[CALL]))
        elif medium:
            yield from self._draft.part(medium)

    def _join(self, part: Json) -> None:
        """Join text with the text before it. A signature belongs to its part, which stays apart."""
        last = self._parts[-1] if self._parts else {}
        if last.keys() in _TEXT and last.keys() == part.keys():
            self._parts[-1] = last | {"text": last["text"] + part["text"]}
        elif part.get("text") != "" or part.get(SIGNATURE):
            self._parts.append(part)

    def _think(self) -> list[Piece]:
        thought = reasoning_of(self._thoughts)
        self._thoughts = []
        return self._draft.part(thought) if thought else []
