"""What a transaction that fails leaves of its connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_support import append

from sessionhistory_server.errors import NotFoundError
from sessionhistory_server.model import SessionContent, WindowLimits

if TYPE_CHECKING:
    from sessionhistory_server.history import SessionHistory


async def test_statements_work_after_a_rollback(history: SessionHistory) -> None:
    """Psycopg has the database forget all that was prepared; it is prepared again when it is needed."""
    await history.append(append("s", create_session=SessionContent()))
    await history.get_session("s", None)
    for count in (2, 3):
        with pytest.raises(NotFoundError):
            await history.delete_session("missing", None, purge=True)
        assert (await history.append(append("s")))[1].counters.message_count == count
        assert len((await history.get_history("s", None, WindowLimits())).messages) == count
