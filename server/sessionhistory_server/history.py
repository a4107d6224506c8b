"""The use cases: what each RPC does, free of transport. One method each; the statements are the store's."""

from __future__ import annotations

import random
import secrets
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from sessionhistory_server import paging
from sessionhistory_server.counting import store_counted
from sessionhistory_server.errors import session_not_found
from sessionhistory_server.limits import MAX_RESPONSE_BYTES
from sessionhistory_server.model import (
    CHARACTERS,
    TOOL,
    Appended,
    Message,
    MessageContent,
    NewMessage,
    Summary,
    Window,
)
from sessionhistory_server.store import (
    messages,
    purging,
    session_list,
    session_update,
    sessions,
    truncation,
    window,
)
from sessionhistory_server.store.append import Batch
from sessionhistory_server.store.coalescer import Coalescer
from sessionhistory_server.store.session_list import SessionFilter, SessionPosition
from sessionhistory_server.store.sessions import SessionRef
from sessionhistory_server.store.shared_append import SharedAppends
from sessionhistory_server.store.state_append import append_with_state

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import timedelta

    from sessionhistory_server.model import Session, SessionContent, StateChange, WindowLimits
    from sessionhistory_server.store.database import Database
    from sessionhistory_server.store.messages import MessageFilter
    from sessionhistory_server.store.window import Defaults, WindowRows
    from sessionhistory_server.tokens import TokenCounters

T = TypeVar("T")

TENANT: Final = "default"

# What a response holds beside its messages or sessions.
_RESPONSE_OVERHEAD_BYTES: Final = 2_048

# In one statement: each may be as large as a response.
_MAX_WINDOWS: Final = 32

_SESSION_POSITION: Final = "!q16s"
_MESSAGE_POSITION: Final = "!q"


class AppendRequest(NamedTuple):
    """Messages for a session: named, or to be made if it is missing."""

    session_id: str
    user_id: str | None
    messages: Sequence[NewMessage]
    create_session: SessionContent | None = None
    expected_last_sequence: int | None = None
    replace_after_sequence: int | None = None
    history: WindowLimits | None = None
    state: StateChange | None = None


class SessionHistory:
    """The service's operations on a database."""

    def __init__(
        self,
        database: Database,
        defaults: Defaults,
        counters: TokenCounters,
        *,
        delete_retention: timedelta,
        coalesce: bool,
    ) -> None:
        self._database = database
        self._defaults = defaults
        self._counters = counters
        self._retention = delete_retention
        self._coalesce = coalesce
        self._appends = SharedAppends(database, coalesce=coalesce)
        self._windows: Coalescer[window.Asked, WindowRows | None] = Coalescer(
            lambda take: database.run(lambda connection: window.read(connection, take(), defaults)),
            max_batch=_MAX_WINDOWS,
            cancellable=True,
            eager=False,
        )

    async def create_session(
        self, session_id: str, content: SessionContent, *, allow_existing: bool
    ) -> tuple[Session, bool]:
        """Create a session, or find it; return it and whether it was created."""
        ref = _ref(session_id or new_id(), content.user_id)
        return await self._database.write(
            lambda connection: sessions.create(
                connection,
                TENANT,
                ref,
                content,
                token_counter=self._counters.name,
                retention=self._retention,
                allow_existing=allow_existing,
            )
        )

    async def get_session(self, session_id: str, user_id: str | None) -> Session:
        """Return a live session."""
        return await self._database.read(lambda c: sessions.get(c, _ref(session_id, user_id)))

    async def update_session(
        self, session_id: str, user_id: str | None, changes: Mapping[str, Any], *, etag: str | None
    ) -> Session:
        """Set fields of a live session."""
        ref = _ref(session_id, user_id)
        return await self._database.write(
            lambda c: session_update.change(c, ref, changes, etag=etag, retention=self._retention)
        )

    async def list_sessions(
        self, wanted: SessionFilter, *, page_size: int, page_token: str
    ) -> tuple[list[Session], str]:
        """Return a page of sessions, newest first, and the token of the next page."""
        position = paging.decode(wanted, _SESSION_POSITION, page_token)
        after = SessionPosition(position[0], position[1].hex()) if position else None
        found, last = await self._database.read(
            lambda connection: session_list.find(
                connection, TENANT, wanted, after, page_size=page_size, max_bytes=_room(0)
            )
        )
        if last is None:
            return found, ""
        end = (last.time, uuid.UUID(last.session_key).bytes)
        return found, paging.encode(wanted, _SESSION_POSITION, end)

    async def delete_session(self, session_id: str, user_id: str | None, *, purge: bool) -> Session:
        """Delete a session, restorably, or purge it."""
        ref = _ref(session_id, user_id)
        if purge:
            return await self._database.write(lambda c: purging.purge(c, ref))
        return await self._database.write(lambda c: sessions.delete(c, ref, retention=self._retention))

    async def undelete_session(self, session_id: str, user_id: str | None) -> Session:
        """Restore a deleted or expired session."""
        ref = _ref(session_id, user_id)
        return await self._database.write(lambda c: sessions.undelete(c, ref, retention=self._retention))

    async def append(self, request: AppendRequest) -> tuple[str, Appended, Window | None]:
        """Append messages; return the session's id, the outcome, and the new window if asked for."""
        batch = self.batch(request)
        session_id = batch.ref.session_id
        store = self._appends.append
        if request.state is not None:
            store = partial(self._append_with_state, request.state, request.replace_after_sequence)
        elif request.replace_after_sequence is not None:
            store = partial(self._replace, request.replace_after_sequence)
        appended = await self.counted(batch, store)
        if request.history is None:
            return session_id, appended, None
        used = sum(message.size_bytes for message in appended.messages)
        return session_id, appended, await self._window(batch.ref, request.history, used)

    def batch(self, request: AppendRequest) -> Batch:
        """Return what the store is asked for, with ids for what has none."""
        return Batch(
            tenant_id=TENANT,
            ref=_ref(request.session_id or new_id(), request.user_id),
            messages=[_identified(message) for message in request.messages],
            create=request.create_session,
            expected_last_sequence=request.expected_last_sequence,
            retention=self._retention,
            token_counter=CHARACTERS,
        )

    async def counted(self, batch: Batch, store: Callable[[Batch], Awaitable[T]]) -> T:
        """Store messages counted by the session's own counter: the server's, unless it had another."""
        return await store_counted(batch, self._counters.name, self._count, store)

    async def _append_with_state(
        self, change: StateChange, replace_after_sequence: int | None, batch: Batch
    ) -> Appended:
        return await self._database.write(
            lambda c: append_with_state(c, batch, change, replace_after_sequence=replace_after_sequence)
        )

    async def _replace(self, after_sequence: int, batch: Batch) -> Appended:
        return await self._database.write(lambda c: truncation.replace(c, batch, after_sequence))

    async def _count(self, batch: Batch, counter: str) -> Batch:
        counts, token_counter = await self._counters.count([m.content for m in batch.messages], counter)
        messages = [m._replace(token_count=n) for m, n in zip(batch.messages, counts, strict=True)]
        return batch._replace(messages=messages, token_counter=token_counter)

    async def get_message(
        self, session_id: str, user_id: str | None, *, message_id: str | None, sequence: int | None
    ) -> Message:
        """Return one message, by id or else by sequence."""
        ref = _ref(session_id, user_id)
        return await self._database.read(
            lambda c: messages.get(c, ref, message_id=message_id, sequence=sequence)
        )

    async def get_history(self, session_id: str, user_id: str | None, limits: WindowLimits) -> Window:
        """Return the context window."""
        return await self._window(_ref(session_id, user_id), limits, 0)

    async def list_messages(
        self,
        session_id: str,
        user_id: str | None,
        wanted: MessageFilter,
        *,
        page_size: int,
        page_token: str,
    ) -> tuple[list[Message], str]:
        """Return a page of a session's messages, and the token of the next page."""
        ref = _ref(session_id, user_id)
        arguments = (ref, wanted)
        position = paging.decode(arguments, _MESSAGE_POSITION, page_token)
        after = position[0] if position else None
        found, last = await self._database.read(
            lambda connection: messages.find(
                connection, ref, wanted, after, page_size=page_size, max_bytes=_room(0)
            )
        )
        return found, "" if last is None else paging.encode(arguments, _MESSAGE_POSITION, (last,))

    async def _window(self, ref: SessionRef, limits: WindowLimits, used_bytes: int) -> Window:
        asked = window.Asked(ref, limits, _room(used_bytes))
        if self._coalesce:
            found = await self._windows.ask(asked)
        else:
            (found,) = await self._database.read(lambda c: window.read(c, [asked], self._defaults))
        if found is None:
            raise session_not_found(ref.session_id)
        return assemble(found)


def assemble(found: WindowRows) -> Window:
    """Make a window of the rows that fit: without the tool results whose call is not in the run.

    A result is of the nearest earlier message of the run that is none, which must carry tool calls.
    """
    kept, tokens, first, called, summary = [], 0, None, False, None
    for message in found.messages:
        content, sequence, token_count, _, _ = message
        if sequence == found.summary:
            summary = Summary(message, found.covered_count, found.covered_tokens)
        elif not content.pinned:
            first = first or sequence
            if content.role != TOOL:
                called = bool(content.tool_calls)
            elif not called:
                continue
        kept.append(message)
        tokens += token_count
    return Window(
        messages=kept,
        total_tokens=tokens,
        omitted_message_count=found.message_count - len(kept) + (summary is not None),
        cut=found.cut or "NONE",
        next_before_sequence=first if found.cut else None,
        last_sequence=found.last_sequence,
        summary=summary,
    )


def new_id() -> str:
    """Return an id that nobody else has: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def _ref(session_id: str, user_id: str | None) -> SessionRef:
    return SessionRef.of(TENANT, session_id, user_id)


def _identified(message: NewMessage) -> NewMessage:
    if message.content.message_id:
        return message
    # No secret, and so without the system's randomness; Python seeds it anew in each worker process.
    content = MessageContent(f"{random.getrandbits(128):032x}", *message.content[1:])
    return NewMessage(content, message.token_count, message.size_bytes)


def _room(used_bytes: int) -> int:
    return MAX_RESPONSE_BYTES - _RESPONSE_OVERHEAD_BYTES - used_bytes
