"""Read the conversations of a file: each value is one, or messages in a row are one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sessionhistory_cli.client.importing.converters import conversations, part_of_session
from sessionhistory_cli.client.importing.recordings import BadRecordingError, Recording, content_id
from sessionhistory_cli.client.importing.shapes import MESSAGES_OF, Format, Shape, shape
from sessionhistory_cli.client.importing.value_limit import MAX_VALUE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sessionhistory_cli.client.importing.file_values import Place, Value
    from sessionhistory_cli.client.importing.options import ImportOptions

_MAX_VALUES_WITHOUT_CONVERSATION: Final = 20


@dataclass(frozen=True, slots=True)
class Found:
    """A conversation of the file, or the reason why there is none in its place."""

    place: Place
    """Where it begins."""
    size_bytes: int
    conversation_id: str
    recording: Recording | None
    problem: str = ""
    is_further_part: bool = False
    """Whether it continues the conversation before it, which is too large for memory."""

    @property
    def family(self) -> str:
        """Return the id that the conversation shares with its forks, of which one is stored at a time."""
        return (self.recording and self.recording.family) or self.conversation_id


@dataclass(slots=True)
class _Row:
    """Messages in a row, which are one conversation, or the newest part of one."""

    first: Value
    values: list[Value] = field(default_factory=list)
    formats: set[Format] = field(default_factory=set)
    size_bytes: int = 0
    session_id: str = ""
    before: int = 0

    def add(self, value: Value, found: Format) -> None:
        """Add a message."""
        self.values.append(value)
        self.formats.add(found)
        self.size_bytes += value.size_bytes


class ConversationReader:
    """A reader of the conversations of a file. It stops if none of the first values is a conversation.

    Args:
        values: The values of the file.
        options: The options of the import.
    """

    def __init__(self, values: Iterable[Value], options: ImportOptions) -> None:
        self._values = values
        self._options = options
        self._row: _Row | None = None
        self.gave_up = False
        """Whether the reader has stopped, because none of the first values is a conversation."""

    def __iter__(self) -> Iterator[Found]:
        """Yield each conversation, or the reason why a value has none."""
        any_found = False
        for count, value in enumerate(self._values, start=1):
            for found in self._of_value(value):
                any_found = any_found or found.recording is not None
                yield found
            if count == _MAX_VALUES_WITHOUT_CONVERSATION and not any_found and not self._row:
                self.gave_up = True
                return
        yield from self._end_of_row()

    def _of_value(self, value: Value) -> Iterator[Found]:
        if value.problem:
            yield Found(value.place, 0, "", None, value.problem)
            return
        known = shape(value.value, self._options.format)
        if known and known.is_message:
            yield from self._of_message(value, known)
            return
        yield from self._end_of_row()
        yield from self._converted(
            value.place, value.value, known.format if known else Format.OWN, value.size_bytes
        )

    def _of_message(self, value: Value, known: Shape) -> Iterator[Found]:
        """Add a message to its row. A row that is too large for memory is stored in parts."""
        row = self._row
        if row and row.first.list_number != value.list_number:
            yield from self._end_of_row()
            row = None
        if row and row.size_bytes + value.size_bytes > MAX_VALUE_BYTES:
            yield self._part(row)
            row.before += len(row.values)
            row.values, row.size_bytes = [], 0
        self._row = row or _Row(value)
        self._row.add(value, known.format)

    def _end_of_row(self) -> Iterator[Found]:
        row, self._row = self._row, None
        if not row:
            return
        found = _format_of(row.formats)
        if found is Format.OWN or row.before:
            yield self._part(row)
            return
        value = {MESSAGES_OF[found]: [inner.value for inner in row.values]}
        yield from self._converted(row.first.place, value, found, row.size_bytes)

    def _part(self, row: _Row) -> Found:
        messages = [value.value for value in row.values]
        options = self._options
        row.session_id = row.session_id or options.session_id or content_id(messages, options.user_id)
        if row.formats != {Format.OWN}:
            problem = f"too large: messages in a row have at most {MAX_VALUE_BYTES:,} bytes"
            return Found(row.first.place, 0, row.session_id, None, problem, row.before > 0)
        try:
            made = part_of_session(messages, row.session_id, row.before, options)
        except BadRecordingError as error:
            return Found(row.first.place, 0, row.session_id, None, str(error), row.before > 0)
        return Found(row.first.place, row.size_bytes, row.session_id, made, "", row.before > 0)

    def _converted(self, place: Place, value: object, found: Format, size: int) -> Iterator[Found]:
        try:
            for made in conversations(value, found, self._options):
                yield Found(place, size, made.session_id, made)
        except BadRecordingError as error:
            yield Found(place, 0, error.conversation_id, None, str(error))


def _format_of(formats: set[Format]) -> Format:
    """Return the format of messages in a row: plain messages of OpenAI's chat API are also of other APIs."""
    return next(iter(formats - {Format.OPENAI_CHAT}), Format.OPENAI_CHAT)
