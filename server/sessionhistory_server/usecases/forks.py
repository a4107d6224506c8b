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
    from sessionhistory_server.store.postgres.database import Database


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
        token_counter: The name of the server's counter, which a session without messages gets.
        delete_retention: The time for which a new session can be restored after its deletion or expiry.
    """

    def __init__(self, database: Database, *, token_counter: str, delete_retention: timedelta) -> None:
        self._database = database
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
        return await self._database.write(
            lambda c: forks.fork(c, plan, allow_existing=allow_existing), lock=plan.new, long=True
        )

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
        return await self._database.write(
            lambda c: forks.reset(c, plan, previous_status), lock=plan.source, long=True
        )

    def _plan(self, caller: Caller, session_id: str, new: NewBranch) -> Fork:
        owner = caller._replace(user_id=caller.user_id or new.user_id)
        return Fork(
            source=SessionRef.of(caller, session_id),
            new=SessionRef.of(owner, new.session_id or new_id()),
            content=content_for(caller, new.content),
            token_counter=self._token_counter,
            retention=self._retention,
        )
