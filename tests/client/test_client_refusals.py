"""The client itself refuses invalid values with the path of the field, as the service would."""

from __future__ import annotations

import dataclasses
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from client_nonsense import (
    CALLS,
    HISTORY_OPTIONS,
    MESSAGE,
    MESSAGES,
    NOBODY,
    SECRET,
    SESSIONS,
    STORED_SESSIONS,
)

from sessionhistory import HistoryOptions, SessionFields
from sessionhistory.errors import InvalidFieldError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fake_server import FakeServer

    from sessionhistory import AsyncSessionHistoryClient as Client


@pytest.fixture
def unheard(connect: Callable[..., Client], fake: FakeServer) -> Iterator[Client]:
    """A client that must not call its service."""
    yield connect(fake.address)
    assert fake.calls == []


@contextmanager
def refused(path: str) -> Iterator[None]:
    """Expect an error with the path of the field, and without its value."""
    with pytest.raises(InvalidFieldError) as caught:
        yield
    error = caught.value
    assert [violation.field for violation in error.violations] == [path]
    assert str(error) == f"{path}: {error.violations[0].description}"
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert (error.metadata, error.retry_delay_seconds, error.request_id) == ({}, None, "")
    said = [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
    assert SECRET not in "".join(said)


@pytest.mark.parametrize("path", MESSAGES)
async def test_messages(unheard: Client, path: str) -> None:
    """An invalid field of a message is refused, alone and in a batch."""
    name, values = MESSAGES[path]
    for value in values:
        message = dataclasses.replace(MESSAGE, **{name: value})
        with refused(f"message.{path}"):
            await unheard.append_message("s", message)
        with refused(f"messages[1].{path}"):
            await unheard.append_messages("s", [MESSAGE, message])


@pytest.mark.parametrize("path", SESSIONS)
async def test_sessions(unheard: Client, path: str) -> None:
    """An invalid field of a session is refused: in a creation, an append or an update."""
    name, values = SESSIONS[path]
    for value in values:
        fields: Any = {name: value}
        with refused(f"session.{path}"):
            await unheard.create_session(session=SessionFields(**fields))
        with refused(f"new_session.{path}"):
            await unheard.append_message("s", MESSAGE, new_session=SessionFields(**fields))
        with refused(f"session.{path}"):
            await unheard.update_session("s", **fields)


@pytest.mark.parametrize("name", HISTORY_OPTIONS)
async def test_options_of_a_history(unheard: Client, name: str) -> None:
    """An invalid option of a history is refused: of a read, an append or a stream."""
    for value in HISTORY_OPTIONS[name]:
        option: Any = {name: value}
        with refused(name):
            await unheard.get_history("s", **option)
        with refused(f"history.{name}"):
            await unheard.append_message("s", MESSAGE, history=HistoryOptions(**option))
        with refused(f"header.history.{name}"):
            unheard.append_message_stream("s", history=HistoryOptions(**option))


def test_every_option_of_a_history_is_refused() -> None:
    """The table of invalid options has each option."""
    assert HISTORY_OPTIONS.keys() == {field.name for field in dataclasses.fields(HistoryOptions)}


@pytest.mark.parametrize(("path", "call"), STORED_SESSIONS)
async def test_a_stored_session_is_not_the_fields_of_a_new_one(
    unheard: Client, path: str, call: Callable[[Client], Any]
) -> None:
    """The error for a stored session names the type to use."""
    with pytest.raises(InvalidFieldError) as caught:
        await call(unheard)
    assert str(caught.value) == f"{path}: must be a SessionFields, not Session"


@pytest.mark.parametrize(("path", "call"), CALLS)
async def test_arguments(unheard: Client, path: str, call: Callable[[Client], Any]) -> None:
    """An invalid argument of a call is refused by its path."""
    with refused(path):
        await call(unheard)


@pytest.mark.parametrize("method", NOBODY)
async def test_an_empty_user(unheard: Client, method: str) -> None:
    """An empty ``user_id`` must not mean any user."""
    with refused("user_id"):
        await NOBODY[method](unheard)


async def test_a_session_is_not_cleared_of_its_status(unheard: Client) -> None:
    """A session's status cannot be cleared."""
    with refused("session.status"):
        await unheard.update_session("s", status=None)


async def test_a_change_of_what_there_is_not(unheard: Client) -> None:
    """A field that a session lacks, or that callers cannot change, is a wrong argument."""
    changes: list[Any] = [{"nickname": SECRET}, {"message_count": 1}, {"application_id": "a"}]
    for change in changes:
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            await unheard.update_session("s", **change)
    filters: Any = {"nickname": SECRET}
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        await unheard.list_sessions_page(**filters)
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        await unheard.list_messages_page("s", **filters)
