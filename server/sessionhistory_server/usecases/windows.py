"""The use case of context windows. Concurrent calls read their rows in one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory_server.errors import session_not_found
from sessionhistory_server.model.message import TOOL
from sessionhistory_server.model.summary import Summary
from sessionhistory_server.model.window import Window
from sessionhistory_server.store.postgres.batching import Batcher
from sessionhistory_server.store.session_ref import SessionRef
from sessionhistory_server.store.windows import read
from sessionhistory_server.usecases.paging import MAX_ROWS_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.model.message import Message
    from sessionhistory_server.model.window import WindowLimits
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.store.windows.read import Defaults, WindowQuery, WindowRows

# The maximum number of windows of one statement: each may be as large as a response.
_MAX_BATCH: Final = 32


class Windows:
    """The use case of context windows.

    Args:
        database: Where the messages are.
        defaults: The limits for which neither the request nor the session has a value.
        coalesce: Whether concurrent reads of windows share a statement.
    """

    def __init__(self, database: Database, defaults: Defaults, *, coalesce: bool) -> None:
        self._database = database
        self._defaults = defaults
        self._coalesce = coalesce
        self._batcher: Batcher[WindowQuery, WindowRows | None] = Batcher(
            self._read_together, max_batch=_MAX_BATCH, cancellable=True, eager=False
        )

    async def get(self, caller: Caller, session_id: str, limits: WindowLimits) -> Window:
        """Return the context window of a session.

        Raises:
            NotFoundError: there is no such session for this caller.
        """
        return await self.read(SessionRef.of(caller, session_id), limits)

    async def read(self, ref: SessionRef, limits: WindowLimits, used_bytes: int = 0) -> Window:
        """Read a context window for a response that already contains ``used_bytes``.

        Raises:
            NotFoundError: there is no such session for this caller.
        """
        asked = read.WindowQuery(ref, limits, MAX_ROWS_BYTES - used_bytes)
        if self._coalesce:
            found = await self._batcher.ask(asked)
        else:
            (found,) = await self._database.read(lambda c: read.read_windows(c, [asked], self._defaults))
        if found is None:
            raise session_not_found(ref.session_id)
        return assemble(found)

    async def _read_together(self, take: Callable[[], list[WindowQuery]]) -> Sequence[WindowRows | None]:
        """Read the windows of concurrent calls together; ``take`` returns the queries of these calls."""
        return await self._database.run(lambda c: read.read_windows(c, take(), self._defaults))


def assemble(found: WindowRows) -> Window:
    """Assemble a window from the rows that fit, without the tool results whose calls are not in the run.

    A tool result belongs to the nearest earlier message of the run that is not a tool result. It stays if
    that message has tool calls.
    """
    kept: list[Message] = []
    total_tokens = 0
    summary_sequence = found.summary_sequence
    summary = run_start = None
    has_calls = False
    for message in found.messages:
        content = message.content
        if message.sequence == summary_sequence:
            summary = Summary(message, found.covered_count, found.covered_tokens)
        elif not content.pinned:  # the message belongs to the run
            if run_start is None:
                run_start = message.sequence
            if content.role != TOOL:
                has_calls = bool(content.tool_calls)
            elif not has_calls:
                continue
        kept.append(message)
        total_tokens += message.token_count
    return Window(
        messages=kept,
        total_tokens=total_tokens,
        omitted_message_count=found.message_count - len(kept) + (summary is not None),
        cut=found.cut or "NONE",
        next_before_sequence=run_start if found.cut else None,
        last_sequence=found.last_sequence,
        summary=summary,
    )
