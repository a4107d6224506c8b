"""Recognising poolers that move sessions, and the settings that a connection through one needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from pooler_support import traffic

from sessionhistory_server.store.postgres.connect import SETTINGS, connect, open_plain
from sessionhistory_server.store.postgres.poolers import SessionsMoveError, moves_sessions
from support import pgbouncer
from support.databases import execute, store_settings
from support.service import NOT_SERVING
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.pgbouncer import PgBouncer
    from support.proxy import Proxy
    from support.service import Service


async def connects(url: str, *, pooled: bool = False) -> None:
    """Connect once, as the monitor does."""
    await (await connect(url, pooled=pooled)).close()


async def test_an_idle_pooler_is_recognised(moving_url: str) -> None:
    """An idle pooler gives a lone client the same session each time, and is recognised."""
    with pytest.raises(SessionsMoveError):
        await connects(moving_url)


async def test_a_busy_pooler_is_recognised(moving_url: str) -> None:
    """A busy pooler, whose other clients take sessions in between, is recognised each time."""
    async with traffic(moving_url):
        for _ in range(10):
            with pytest.raises(SessionsMoveError):
                await connects(moving_url)


async def test_a_pooler_of_one_session_is_recognised(postgres_url: str, database_url: str) -> None:
    """The second connection gets the session of the first."""
    with pgbouncer.running(postgres_url, sessions=1) as tight, pytest.raises(SessionsMoveError):
        await connects(tight.url(database_url))


async def test_a_refused_connection_leaves_no_settings(moving_url: str) -> None:
    """Other clients do not see settings of a connection that was refused."""
    with pytest.raises(SessionsMoveError):
        await connects(moving_url)
    connection = await open_plain(moving_url)
    row = await (await connection.execute("show enable_seqscan")).fetchone()
    await connection.close()
    assert row == ("on",)


async def test_sessions_that_stay_are_accepted(session_bouncer: PgBouncer, database_url: str) -> None:
    """Postgres itself and a pooler in session mode are accepted."""
    for url in (database_url, session_bouncer.url(database_url)):
        first, second = await open_plain(url), await open_plain(url)
        assert not await moves_sessions(first, second)
        await first.close()
        await second.close()
        await connects(url)


async def test_the_setting_also_works_without_a_pooler(database_url: str) -> None:
    """A direct connection takes its settings from the role as well."""
    with pytest.raises(psycopg.OperationalError, match="the role lacks settings"):
        await connects(database_url, pooled=True)
    store_settings(database_url)
    await connects(database_url, pooled=True)


@pytest.mark.parametrize("name", SETTINGS)
async def test_each_setting_is_required(database_url: str, name: str) -> None:
    """A setting with another value is named."""
    store_settings(database_url)
    user, database = execute(database_url, "select current_user, current_database()")[0]
    other = {"off": "on", "force_generic_plan": "auto"}.get(SETTINGS[name], "0")
    execute(database_url, f"alter role {user} in database {database} set {name} = {other}")
    with pytest.raises(psycopg.OperationalError, match=rf"\({name}\): run `session-history migrate"):
        await connects(database_url, pooled=True)


async def test_settings_hold_as_soon_as_they_are_stored(moving_url: str, database_url: str) -> None:
    """The pooler drops a session that lacks the settings."""
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError, match="the role lacks settings"):
            await connects(moving_url, pooled=True)
    store_settings(database_url)
    await connects(moving_url, pooled=True)


async def test_a_pooler_that_comes_later(
    serve: Callable[..., Awaitable[Service]],
    proxy: Proxy,
    moving_url: str,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A running server that meets a pooler is NOT_SERVING until it is gone, and logs the reason once."""
    service = await serve(proxy.url, pooler=None)
    proxy.lead_to(moving_url)
    await proxy.cut()
    await service.wait_until_serving(NOT_SERVING)
    message = "database: cannot be used: a pooler moves sessions between its clients"
    await until(lambda: any(record.getMessage().startswith(message) for record in caplog.records))
    proxy.lead_to(database_url)
    await service.wait_until_serving()


async def test_nothing_is_set_in_a_session_that_moves(pooled_url: str) -> None:
    """All settings come from the role, because other clients would get those of a session."""
    connection = await connect(pooled_url, pooled=True)
    query = "select name from pg_settings where source = 'session' and name <> 'application_name'"
    assert await (await connection.execute(query)).fetchall() == []
    assert connection.pooled
    await connection.close()
