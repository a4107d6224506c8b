"""The use cases of messages: append, read, list and truncate."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from sessionhistory_server import call_context
from sessionhistory_server.errors import NotFoundError
from sessionhistory_server.model.append import AppendOutcome
from sessionhistory_server.model.message import SentMessage
from sessionhistory_server.model.tokens import COUNTED_BY_CHARACTERS
from sessionhistory_server.store import messages, truncation
from sessionhistory_server.store.appends.batch import Batch
from sessionhistory_server.store.appends.replace import replace
from sessionhistory_server.store.appends.shared import SharedAppends
from sessionhistory_server.store.appends.with_state import append_with_state
from sessionhistory_server.store.session_ref import SessionRef
from sessionhistory_server.usecases import paging
from sessionhistory_server.usecases.binding import content_for
from sessionhistory_server.usecases.counting import Counting, count_characters
from sessionhistory_server.usecases.ids import new_id, new_message_id
from sessionhistory_server.usecases.on_session import SessionUseCases, reads, writes

if TYPE_CHECKING:
    from datetime import timedelta

    from sessionhistory_server.model.append import Append
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.model.filters import MessageFilter
    from sessionhistory_server.model.message import Appended, Message
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.tokens import TokenCounters
    from sessionhistory_server.usecases.metering import Metering
    from sessionhistory_server.usecases.paging import PageTokens
    from sessionhistory_server.usecases.windows import Windows

_POSITION: Final = "!q"

_NARROWER: Final = "name a range of sequences"


class Messages(SessionUseCases):
    """The use cases of messages.

    Args:
        database: The database of the messages.
        metering: Counts the messages and the sessions that appends create, and limits them.
        windows: Reads the windows that appends return.
        counters: Count the messages that callers send without a token count.
        page_tokens: Signs the tokens of pages.
        delete_retention: The time for which a session that an append creates can be restored after its
            deletion or expiry.
        coalesce: Whether concurrent appends share a statement.
    """

    def __init__(
        self,
        database: Database,
        metering: Metering,
        windows: Windows,
        counters: TokenCounters,
        page_tokens: PageTokens,
        *,
        delete_retention: timedelta,
        coalesce: bool,
    ) -> None:
        super().__init__(database, metering)
        self._windows = windows
        self._page_tokens = page_tokens
        self._retention = delete_retention
        self._shared_appends = SharedAppends(database, metering.note_append, coalesce=coalesce)
        self.counting: Final = Counting(counters)

    get = reads(messages.get)
    truncate = writes(truncation.truncate, long=True, frees=True)

    async def append(self, caller: Caller, asked: Append, *, is_accepted: bool = False) -> AppendOutcome:
        """Append messages; return the outcome, with the new window if the caller requests it.

        The window is read after the commit. If the session has been deleted by then, there is no window and
        no error, because the messages were stored.

        Args:
            caller: The caller.
            asked: The messages.
            is_accepted: Whether the server has accepted the messages before, as it does when a stream begins.
        """
        async with self._metering.room(caller, is_accepted=is_accepted) as room:
            batch = self.batch(caller, asked).within(room)
            appended = await self.counting.store_counted(batch, self._store)
        window = None
        if asked.history is not None:
            used_bytes = sum(message.size_bytes for message in appended.messages)
            with suppress(NotFoundError):
                window = await self._windows.read(batch.ref, asked.history, used_bytes)
        return AppendOutcome(batch.ref.session_id, appended, window)

    def batch(self, caller: Caller, asked: Append) -> Batch:
        """Return the batch of an append for the store, with ids, and counted by characters.

        Raises:
            PermissionDeniedError: the new session would be of another application than the caller's.
        """
        if asked.new_session is not None:
            asked = asked._replace(new_session=content_for(caller, asked.new_session))
        return Batch(
            asked=asked,
            tenant_id=caller.tenant_id,
            ref=SessionRef.of(caller, asked.session_id or new_id()),
            messages=[count_characters(_identified(message)) for message in asked.messages],
            token_counter=COUNTED_BY_CHARACTERS,
            retention=self._retention,
            order=call_context.current().order,
        )

    async def _store(self, batch: Batch) -> Appended:
        """Append messages or replace others by them, and change the state, as the append requires."""
        asked = batch.asked
        if asked.state is not None:
            work = partial(append_with_state, batch=batch, change=asked.state)
        elif asked.keep_through_sequence is not None:
            work = partial(replace, batch=batch, keep_through_sequence=asked.keep_through_sequence)
        else:
            return await self._shared_appends.append(batch)
        if asked.keep_through_sequence is None:
            change = self._metering.noted(batch, work)
        else:
            change = self._metering.measured(batch.tenant_id, batch.ref, work)
        return await self._database.write(change, lock=batch.ref)

    async def find(
        self, caller: Caller, session_id: str, wanted: MessageFilter, *, page_size: int, page_token: str
    ) -> tuple[list[Message], str]:
        """Return a page of a session's messages, and the token of the next page."""
        ref = SessionRef.of(caller, session_id)
        arguments = (ref, wanted)
        position = await self._page_tokens.decode(caller, arguments, _POSITION, page_token)
        find = partial(
            messages.find,
            ref=ref,
            wanted=wanted,
            after=position[0] if position else None,
            page_size=page_size,
            max_bytes=paging.MAX_ROWS_BYTES,
        )
        found, last = await paging.read(self._database, find, wanted, advice=_NARROWER)
        if last is None:
            return found, ""
        return found, await self._page_tokens.encode(caller, arguments, _POSITION, (last,))


def _identified(message: SentMessage) -> SentMessage:
    """Return a message with an id: the caller's, or else a new id."""
    content, size_bytes = message
    if content.message_id:
        return message
    return SentMessage(content._replace(message_id=new_message_id()), size_bytes)
