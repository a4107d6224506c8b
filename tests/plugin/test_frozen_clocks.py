"""The recipe for frozen clocks in docs/testing.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugin_support import Project

pytest_plugins = "pytester"

# The clock of the whole run is not frozen, because the server's process would have that clock too.
FROZEN = """
import asyncio
import pytest
from freezegun import freeze_time
from sessionhistory import AsyncSessionHistoryClient, Message, Role, SessionFields, SessionHistoryClient
from sessionhistory.errors import DeadlineExceededError, UnavailableError

HELLO = Message(role=Role.USER, content="hello")
AWAY = "127.0.0.1:1"
times = pytest.mark.parametrize("time", ["2020-02-29", "2040-02-29"])


def recipe(time):
    return freeze_time(time, ignore=["grpc", "sessionhistory"], real_asyncio=True)


def test_without_the_recipe(session_history_client):
    with freeze_time("2020-02-29"), pytest.raises(DeadlineExceededError):
        session_history_client.append_message("s", HELLO, new_session=SessionFields())


@times
def test_threads(session_history_client, time):
    with recipe(time):
        session_history_client.append_message("s", HELLO, new_session=SessionFields())
        with session_history_client.append_message_stream("s") as stream:
            stream.write("hi")
        assert len(list(session_history_client.list_messages("s"))) == 2


@times
def test_asyncio(session_history_target, time):
    async def main():
        async with AsyncSessionHistoryClient(session_history_target) as client:
            appends = [client.append_message(id, HELLO, new_session=SessionFields()) for id in "ab"]
            await asyncio.gather(*appends)
            async with client.append_message_stream("a") as stream:
                await stream.write("hi")
        async with AsyncSessionHistoryClient(AWAY, timeout_seconds=1) as client:
            with pytest.raises(UnavailableError):
                await client.get_session("a")

    with recipe(time):
        asyncio.run(main())


@times
def test_a_server_that_is_away(time):
    with recipe(time), SessionHistoryClient(AWAY, timeout_seconds=1) as client:
        with pytest.raises(UnavailableError):
            client.get_session("s")
"""


def test_the_recipe(project: Project) -> None:
    """With the recipe both clients work and time out in real time, at any frozen time; without it not."""
    project.write(test_frozen=FROZEN)
    project.run().assert_outcomes(passed=7)
