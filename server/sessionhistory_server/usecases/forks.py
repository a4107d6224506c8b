"""The use cases that create sessions from others: forks and resets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sessionhistory_server.store.forks import fork as forks
from sessionhistory_server.store.forks.copying import Fork
from sessionhistory_server.store.session_ref import SessionRef
from sessionhistory_server.usecases.binding import content_for
from sessionhistory_server.usecases.ids import new_id

if TYPE_CHECKING:
    from datetime import timedelta

    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.model.session import Session, SessionContent
    from sessionhistory_server.store.forks.fork import Copied
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.usecases.metering import Metering


class NewBranch(NamedTuple):
    """A session that a caller wants to create from another, which provides the fields that are not set."""

    session_id: str
    """Empty: the server makes an id."""
    user_id: str | None
    """The owner, if the caller names no user."""
    content: SessionContent


class Forks:
    """The use cases that create sessions from others.

    Args:
        database: The database of the sessions.
        metering: Counts the sessions and their messages, and limits them.
        token_counter: The name of the server's counter, which a session without messages gets.
        delete_retention: The time for which a new session can be restored after its deletion or expiry.
    """

    def __init__(
        self, database: Database, metering: Metering, *, token_counter: str, delete_retention: timedelta
    ) -> None:
        self._database = database
        self._metering = metering
        self._token_counter = token_counter
        self._retention = delete_retention

    async def fork(
        self,
        caller: Caller,
        session_id: str,
        new: NewBranch,
        *,
        through_sequence: int | None,
        allow_existing: bool,
    ) -> tuple[Session, bool]:
        """Create a session with the messages of another, or find it; return it and whether it was created."""
        plan = self._plan(caller, session_id, new)._replace(through_sequence=through_sequence)
        async with self._metering.room(caller, user_id=new.user_id) as room:

            async def fork(connection: Connection) -> Copied:
                wanted = plan._replace(room=room)
                return self._noted(
                    caller, await forks.fork(connection, wanted, allow_existing=allow_existing)
                )

            made = await self._database.write(fork, lock=plan.new, long=True)
            return made.session, made.created

    async def reset(
        self,
        caller: Caller,
        session_id: str,
        new: NewBranch,
        *,
        keep_messages: bool,
        keep_state: bool,
        previous_status: str,
    ) -> tuple[Session, Session]:
        """End a session and create its successor; return the new session and the old one."""
        plan = self._plan(caller, session_id, new)._replace(
            through_sequence=None if keep_messages else 0,
            keeps_title=keep_messages,
            keeps_state=keep_state,
        )
        async with self._metering.room(caller, user_id=new.user_id) as room:

            async def reset(connection: Connection) -> tuple[Session, Session]:
                made, previous = await forks.reset(connection, plan._replace(room=room), previous_status)
                return self._noted(caller, made).session, previous

            return await self._database.write(reset, lock=plan.source, long=True)

    def _noted(self, caller: Caller, made: Copied) -> Copied:
        if made.created:
            user_id = made.session.user_id
            self._metering.note(caller.tenant_id, user_id, sessions=1, size_bytes=made.size_bytes)
        return made

    def _plan(self, caller: Caller, session_id: str, new: NewBranch) -> Fork:
        owner = caller._replace(user_id=caller.user_id or new.user_id)
        return Fork(
            source=SessionRef.of(caller, session_id),
            new=SessionRef.of(owner, new.session_id or new_id()),
            content=content_for(caller, new.content),
            token_counter=self._token_counter,
            retention=self._retention,
        )
