"""Each text of a session goes to the database through the parameters of ``columns.session``."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from store_support import append, new_message, use_cases

from sessionhistory_server.model.session import SessionContent, StateChange
from sessionhistory_server.store.columns import session
from sessionhistory_server.usecases.forks import NewBranch
from support.callers import caller
from support.databases import execute

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

    from sessionhistory_server.store.postgres.database import Database

ENCODED = """
select session_id, title like '% ', metadata like '% ', state like '% ', labels ? 'encoded' from sessions
order by session_id
"""

CONTENT = SessionContent(title="t", metadata="{}", state="{}", labels={"a": "b"})


async def test_every_write_encodes_the_texts(
    open_database: Callable[..., Awaitable[Database]], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoding that is declared there reaches creates, updates, states, forks, resets and titles."""
    for name in ("title", "metadata", "state"):
        monkeypatch.setitem(session._ENCODERS, name, lambda text: f"{text.strip()} ")  # noqa: SLF001 - the place
    monkeypatch.setitem(session._ENCODERS, "labels", lambda labels: json.dumps({**labels, "encoded": ""}))  # noqa: SLF001 - the same
    history = use_cases(await open_database(database_url))
    sessions, messages = history.sessions, history.messages
    for session_id in ("created", "updated", "reset"):
        await sessions.create(caller(), session_id, CONTENT, allow_existing=False)
    # Without a state: a patch of an encoded one could keep the encoding.
    await sessions.create(caller(), "patched", CONTENT._replace(state=None), allow_existing=False)
    for name in ("title", "metadata", "labels"):
        await sessions.update(caller(), "updated", {name: getattr(CONTENT, name)}, etag=None)
    await sessions.patch_state(caller(), "patched", StateChange('{"a": 1}', None))
    await messages.append(caller(), append("appended", new_message(), new_session=CONTENT))
    await history.forks.fork(
        caller(), "created", NewBranch("fork", None, CONTENT), through_sequence=None, allow_existing=False
    )
    await history.forks.reset(
        caller(),
        "reset",
        NewBranch("reset-2", None, CONTENT),
        keep_messages=True,
        keep_state=True,
        previous_status="COMPLETED",
    )
    found = execute(database_url, ENCODED)
    assert len(found) == 7
    assert [row for row in found if not all(row)] == []


async def test_a_title_from_a_message_is_encoded(
    open_database: Callable[..., Awaitable[Database]], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first text of a user becomes a title by all appends: alone, in a new session, and together."""
    monkeypatch.setitem(session._ENCODERS, "title", lambda text: f"{text} ")  # noqa: SLF001 - the place
    history = use_cases(await open_database(database_url))
    created = [f"s{number}" for number in range(6)]
    for session_id in created:
        await history.sessions.create(caller(), session_id, SessionContent(), allow_existing=False)
    await asyncio.gather(*(history.messages.append(caller(), append(each)) for each in created))
    await history.messages.append(caller(), append("new", new_session=SessionContent()))
    assert execute(database_url, "select distinct title from sessions") == [("some words ",)]
