"""What connections keep prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_support import append, use_cases

from sessionhistory_server.errors import NotFoundError
from sessionhistory_server.model import SessionContent, WindowLimits
from sessionhistory_server.store import connection
from sessionhistory_server.store.session_list import SessionFilter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.history import SessionHistory
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.database import Database


async def test_statements_work_after_a_rollback(history: SessionHistory) -> None:
    """Psycopg would have the database forget all that was prepared; there is nothing of its own."""
    await history.append(append("s", create_session=SessionContent()))
    await history.get_session("s", None)
    for count in (2, 3):
        with pytest.raises(NotFoundError):
            await history.delete_session("missing", None, purge=True)
        assert (await history.append(append("s")))[1].counters.message_count == count
        assert len((await history.get_history("s", None, WindowLimits())).messages) == count


async def test_what_is_prepared_is_bounded(
    open_database: Callable[..., Awaitable[Database]], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement that was not used for the longest time makes room for a new one, and may come back."""
    monkeypatch.setattr(connection, "_MAX_PREPARED", 3)
    database = await open_database(database_url)
    history = use_cases(database)
    await history.append(append("s", create_session=SessionContent()))
    for _ in range(2):
        for by_creation in (False, True):
            for user_id in (None, "u"):
                wanted = SessionFilter(user_id=user_id, by_creation=by_creation)
                await history.list_sessions(wanted, page_size=1, page_token="")
        assert await database.read(_prepared) <= 3


async def _prepared(pooled: Connection) -> int:
    ((count,),) = await pooled.fetch("select count(*) from pg_prepared_statements", {})
    return int(count)
