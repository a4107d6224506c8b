"""The use cases of sessions: create, find, change, delete and restore."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sessionhistory_server.errors import NotFoundError
from sessionhistory_server.store.session_ref import SessionRef
from sessionhistory_server.store.sessions import active, lifecycle, listing, purging, state, update
from sessionhistory_server.store.sessions.lifecycle import NewSession
from sessionhistory_server.store.sessions.listing import SessionPosition
from sessionhistory_server.usecases import paging
from sessionhistory_server.usecases.binding import application_for, content_for
from sessionhistory_server.usecases.ids import new_id
from sessionhistory_server.usecases.on_session import SessionUseCases, reads, writes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping
    from datetime import timedelta

    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.model.filters import SessionFilter
    from sessionhistory_server.model.session import Session, SessionContent
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.usecases.metering import Metering
    from sessionhistory_server.usecases.paging import PageTokens

_POSITION: Final = "!q16s"

_NARROWER: Final = "name a user_id, or a range of the times that the list is ordered by"


class Sessions(SessionUseCases):
    """The use cases of sessions.

    Args:
        database: The database of the sessions.
        metering: Counts the sessions, and limits them.
        page_tokens: Signs the tokens of pages.
        token_counter: The name of the server's counter, which new sessions get.
        delete_retention: The time for which a deleted or expired session can be restored.
    """

    def __init__(
        self,
        database: Database,
        metering: Metering,
        page_tokens: PageTokens,
        *,
        token_counter: str,
        delete_retention: timedelta,
    ) -> None:
        super().__init__(database, metering)
        self._page_tokens = page_tokens
        self._token_counter = token_counter
        self._retention = delete_retention

    get = reads(lifecycle.get)
    patch_state = writes(state.patch)
    _delete = writes(lifecycle.delete)
    _undelete = writes(lifecycle.undelete)
    _purge = writes(purging.purge, long=True, frees=True)
    _update = writes(update.change)

    async def create(
        self, caller: Caller, session_id: str, content: SessionContent, *, allow_existing: bool
    ) -> tuple[Session, bool]:
        """Create a session, or find it; return it and whether it was created."""
        create = partial(lifecycle.create, allow_existing=allow_existing)
        new = self._new(caller, session_id, content_for(caller, content))
        return await self._create(caller, new, create, lock=new.ref)

    async def update(
        self, caller: Caller, session_id: str, changes: Mapping[str, Any], *, etag: str | None
    ) -> Session:
        """Set fields of a live session."""
        return await self._update(caller, session_id, changes, etag=etag, retention=self._retention)

    async def find(
        self, caller: Caller, wanted: SessionFilter, *, page_size: int, page_token: str
    ) -> tuple[list[Session], str]:
        """Return a page of the caller's sessions, and the token of the next page."""
        application_id = application_for(caller, wanted.application_id)
        wanted = wanted._replace(user_id=caller.user_id, application_id=application_id)
        position = await self._page_tokens.decode(caller, wanted, _POSITION, page_token)
        find = partial(
            listing.find,
            tenant_id=caller.tenant_id,
            wanted=wanted,
            after=SessionPosition(position[0], position[1].hex()) if position else None,
            page_size=page_size,
            max_bytes=paging.MAX_ROWS_BYTES,
        )
        found, last = await paging.read(self._database, find, wanted, advice=_NARROWER)
        if last is None:
            return found, ""
        end = (last.time, uuid.UUID(last.session_key).bytes)
        return found, await self._page_tokens.encode(caller, wanted, _POSITION, end)

    async def delete(self, caller: Caller, session_id: str, *, purge: bool) -> Session:
        """Delete a session, which can then be restored, or purge it."""
        if purge:
            return await self._purge(caller, session_id)
        return await self._delete(caller, session_id, retention=self._retention)

    async def undelete(self, caller: Caller, session_id: str) -> Session:
        """Restore a deleted or expired session."""
        return await self._undelete(caller, session_id, retention=self._retention)

    async def get_active(self, caller: Caller, application_id: str | None = None) -> Session:
        """Return the active session of the caller's user: the one with the latest activity.

        Args:
            caller: Names the user.
            application_id: Only sessions of this application count; ``None``: sessions of all applications.

        Raises:
            NotFoundError: the user has no active session.
        """
        found = await self._newest_active(caller, application_for(caller, application_id))
        if found is None:
            raise NotFoundError("the user has no active session", reason="SESSION_NOT_FOUND")
        return found

    async def ensure_active(
        self, caller: Caller, session_id: str, content: SessionContent
    ) -> tuple[Session, bool]:
        """Return the active session of the caller's user, or create one; and whether it was created."""
        content = content_for(caller, content)
        if found := await self._newest_active(caller, content.application_id):
            return found, False
        new = self._new(caller, session_id, content)
        lock = ("user", caller.tenant_id, caller.user_id)
        return await self._create(caller, new, active.newest_or_new, lock=lock)

    def _new(self, caller: Caller, session_id: str, content: SessionContent) -> NewSession:
        ref = SessionRef.of(caller, session_id or new_id())
        return NewSession(caller.tenant_id, ref, content, self._token_counter, self._retention)

    async def _create(
        self,
        caller: Caller,
        new: NewSession,
        work: Callable[[Connection, NewSession], Awaitable[tuple[Session, bool]]],
        *,
        lock: Hashable,
    ) -> tuple[Session, bool]:
        async with self._metering.room(caller) as room:

            async def create(connection: Connection) -> tuple[Session, bool]:
                session, created = await work(connection, new._replace(room=room))
                self._metering.note(caller.tenant_id, session.user_id, sessions=int(created))
                return session, created

            return await self._database.write(create, lock=lock)

    async def _newest_active(self, caller: Caller, application_id: str | None) -> Session | None:
        user_id = caller.user_id or ""
        return await self._database.read(
            lambda c: active.newest(c, caller.tenant_id, user_id, application_id)
        )
