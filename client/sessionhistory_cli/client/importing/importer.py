"""Store many conversations, a few concurrently."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory import SessionHistoryError
from sessionhistory_cli.client.importing.storing import Outcome, Result, store_recording
from sessionhistory_cli.client.importing.value_limit import MAX_VALUE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sessionhistory import SessionHistoryClient
    from sessionhistory_cli.client.importing.conversation_reader import Found

WORKERS: Final = 4
_MAX_PENDING: Final = 2 * WORKERS


class _Pending(NamedTuple):
    found: Found
    outcome: Future[Outcome]


class Importer:
    """An importer, which stores a few conversations concurrently and limits their bytes in memory.

    Args:
        client: A client of the service.
    """

    def __init__(self, client: SessionHistoryClient) -> None:
        self._client = client
        self._pending: deque[_Pending] = deque()

    def run(self, conversations: Iterable[Found]) -> Iterator[tuple[Found, Outcome]]:
        """Store the conversations; yield the outcome of each, in the order of the file.

        Raises:
            SessionHistoryError: the server does not answer, or would refuse the other conversations too.
        """
        with ThreadPoolExecutor(WORKERS) as pool:
            try:
                for found in conversations:
                    while not self._has_room_for(found):
                        yield self._oldest()
                    self._pending.append(_Pending(found, pool.submit(self._store, found)))
                while self._pending:
                    yield self._oldest()
            except (SessionHistoryError, KeyboardInterrupt):
                yield from self._settle()
                raise

    def _store(self, found: Found) -> Outcome:
        if found.recording is None:
            return Outcome(Result.SKIPPED, found.problem)
        return store_recording(self._client, found.recording)

    def _has_room_for(self, found: Found) -> bool:
        """Return whether a conversation can be stored now. Those of one family are never concurrent."""
        others = [pending.found for pending in self._pending]
        return not others or (
            len(others) < _MAX_PENDING
            and sum(other.size_bytes for other in others) + found.size_bytes <= MAX_VALUE_BYTES
            and all(other.family != found.family for other in others)
        )

    def _oldest(self) -> tuple[Found, Outcome]:
        found, outcome = self._pending[0]
        result = outcome.result()
        self._pending.popleft()
        return found, result

    def _settle(self) -> Iterator[tuple[Found, Outcome]]:
        """Cancel the conversations that have not begun; yield the outcomes of the others."""
        for found, outcome in self._pending:
            if not outcome.cancel() and not outcome.exception():
                yield found, outcome.result()
