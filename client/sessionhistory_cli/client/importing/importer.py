"""Store the conversations of many lines, a few concurrently."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory import SessionHistoryError
from sessionhistory_cli.client.importing.file_lines import MAX_LINE_BYTES
from sessionhistory_cli.client.importing.recordings import BadRecordingError, Recording, parse_recording
from sessionhistory_cli.client.importing.storing import Outcome, Result, store_recording

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sessionhistory import SessionHistoryClient

WORKERS: Final = 4
_MAX_PENDING: Final = 2 * WORKERS
_MAX_LINES_WITHOUT_CONVERSATION: Final = 20


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file with its conversation, or the reason why it has none."""

    number: int
    size_bytes: int
    conversation_id: str
    recording: Recording | None
    problem: str = ""


class _Pending(NamedTuple):
    line: Line
    outcome: Future[Outcome]


class Importer:
    """An importer, which stores a few conversations concurrently and limits their bytes in memory.

    Args:
        client: A client of the service.
    """

    def __init__(self, client: SessionHistoryClient) -> None:
        self._client = client
        self._pending: deque[_Pending] = deque()

    def run(self, lines: Iterable[Line]) -> Iterator[tuple[Line, Outcome]]:
        """Store the conversations; yield the outcome of each line, in the order of the lines.

        Raises:
            SessionHistoryError: the server does not answer, or would refuse the other conversations too.
        """
        with ThreadPoolExecutor(WORKERS) as pool:
            try:
                for line in lines:
                    while not self._has_room_for(line):
                        yield self._oldest()
                    self._pending.append(_Pending(line, pool.submit(self._store, line)))
                while self._pending:
                    yield self._oldest()
            except (SessionHistoryError, KeyboardInterrupt):
                yield from self._settle()
                raise

    def _store(self, line: Line) -> Outcome:
        if line.recording is None:
            return Outcome(Result.SKIPPED, line.problem)
        return store_recording(self._client, line.recording)

    def _has_room_for(self, line: Line) -> bool:
        """Return whether a line can be stored now. Lines of the same session are never concurrent."""
        lines = [pending.line for pending in self._pending]
        return not lines or (
            len(lines) < _MAX_PENDING
            and sum(other.size_bytes for other in lines) + line.size_bytes <= MAX_LINE_BYTES
            and all(other.conversation_id != line.conversation_id for other in lines)
        )

    def _oldest(self) -> tuple[Line, Outcome]:
        line, outcome = self._pending[0]
        result = outcome.result()
        self._pending.popleft()
        return line, result

    def _settle(self) -> Iterator[tuple[Line, Outcome]]:
        """Cancel the lines that have not begun; yield the outcomes of the others."""
        for line, outcome in self._pending:
            if not outcome.cancel() and not outcome.exception():
                yield line, outcome.result()


class RecordingReader:
    """A reader of the conversations in numbered lines. It stops if none of the first lines is a conversation.

    Args:
        lines: The lines; ``None`` stands for one that is too long.
        user_id: The owner of all conversations; ``None``: the owner that each line names.
    """

    def __init__(self, lines: Iterable[tuple[int, bytes | None]], user_id: str | None) -> None:
        self._lines = lines
        self._user_id = user_id
        self.gave_up = False
        """Whether the reader has stopped, because none of the first lines is a conversation."""

    def __iter__(self) -> Iterator[Line]:
        """Yield each line with its conversation, or the reason why it has none."""
        found = False
        for count, (number, text) in enumerate(self._lines, start=1):
            line = self._line(number, text)
            found = found or line.recording is not None
            yield line
            if count == _MAX_LINES_WITHOUT_CONVERSATION and not found:
                self.gave_up = True
                return

    def _line(self, number: int, text: bytes | None) -> Line:
        if text is None:
            return Line(number, 0, "", None, f"too large: a line has at most {MAX_LINE_BYTES:,} bytes")
        try:
            recording = parse_recording(text, self._user_id)
        except BadRecordingError as error:
            return Line(number, 0, error.conversation_id, None, str(error))
        return Line(number, len(text), recording.session_id, recording)
