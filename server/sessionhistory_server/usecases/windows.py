"""The use case of context windows. Concurrent calls read their rows in one statement."""

from __future__ import annotations

from itertools import dropwhile
from typing import TYPE_CHECKING, Final

from sessionhistory_server.errors import session_not_found
from sessionhistory_server.model import tool_calls
from sessionhistory_server.model.message import ASSISTANT
from sessionhistory_server.model.summary import Summary
from sessionhistory_server.model.window import Window
from sessionhistory_server.store.postgres.batching import Batcher
from sessionhistory_server.store.session_ref import SessionRef
from sessionhistory_server.store.windows import read
from sessionhistory_server.usecases.paging import MAX_ROWS_BYTES
from sessionhistory_server.usecases.steps import until_move

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
        if self._coalesce and not self._database.is_distributed:
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
    """Assemble a window from the rows that fit, without the messages of the run that a model would refuse."""
    summary_sequence = found.summary_sequence
    summary = next((m for m in found.messages if m.sequence == summary_sequence), None)
    run = [m for m in found.messages if not m.content.pinned and m is not summary]
    kept_run = _kept(found, run)
    messages = found.messages
    if len(kept_run) < len(run):
        left_out = {m.sequence for m in run}.difference(m.sequence for m in kept_run)
        messages = [m for m in messages if m.sequence not in left_out]
    first = (kept_run or run)[:1]
    tokens_until_move, messages_until_move = until_move(found, run)
    return Window(
        messages=messages,
        total_tokens=sum(m.token_count for m in messages),
        omitted_message_count=found.message_count - len(messages) + (summary is not None),
        cut=found.cut or "NONE",
        next_before_sequence=first[0].sequence if found.cut and first else None,
        last_sequence=found.last_sequence,
        summary=summary and Summary(summary, found.covered_count, found.covered_tokens),
        tokens_until_move=tokens_until_move,
        messages_until_move=messages_until_move,
    )


def _kept(found: WindowRows, run: list[Message]) -> list[Message]:
    """Return the messages of the run that a window shows. What the others free is not filled again."""
    if found.begins_after_assistant:
        run = list(dropwhile(lambda message: message.content.role == ASSISTANT, run))
    kept = tool_calls.with_calls(run)
    return tool_calls.answered(kept) if found.omits_unanswered else kept
