"""Every field of windows, and of their options and settings, in each call that has it."""

from __future__ import annotations

import dataclasses
import inspect
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from call_stream_support import HELLO, allow_slow_openings, begun, open_stream
from client_samples import MESSAGE, OPTIONS, SESSION, SETTINGS

from sessionhistory import (
    AsyncSessionHistoryClient,
    History,
    HistoryCut,
    HistoryOptions,
    HistorySettings,
    HistorySummary,
)
from sessionhistory.v1 import history_pb2, session_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_server import FakeServer

    from sessionhistory import AsyncSessionHistoryClient as Client

    Connect = Callable[..., Client]

SENT_OPTIONS = history_pb2.HistoryOptions(
    max_messages=5,
    token_budget=0,
    include_pinned=False,
    max_turns=0,
    step_tokens=2**31 - 1,
    step_messages=0,
    unanswered_calls=history_pb2.UNANSWERED_CALLS_KEEP,
    whole_responses=True,
)
SENT_SETTINGS = session_pb2.HistorySettings(
    max_messages=0,
    token_budget=7,
    step_tokens=0,
    step_messages=2**31 - 1,
    unanswered_calls=history_pb2.UNANSWERED_CALLS_OMIT,
    whole_responses=False,
)
ANSWER: dict[str, Any] = {
    "total_tokens": 1,
    "omitted_message_count": 2,
    "cut": history_pb2.HISTORY_CUT_TOKEN_BUDGET,
    "next_before_sequence": 3,
    "last_sequence": 4,
    "summary": {"through_sequence": 5, "message_count": 6, "total_tokens": 7, "create_time": {"seconds": 0}},
    "tokens_until_move": 2**40,
    "messages_until_move": 0,
}
WINDOW = History(
    messages=(),
    total_tokens=1,
    omitted_message_count=2,
    cut=HistoryCut.TOKEN_BUDGET,
    next_before_sequence=3,
    last_sequence=4,
    summary=HistorySummary(
        through_sequence=5, message_count=6, total_tokens=7, create_time=datetime(1970, 1, 1, tzinfo=UTC)
    ),
    tokens_until_move=2**40,
    messages_until_move=0,
)
CONTRACT = {
    History: history_pb2.History,
    HistoryOptions: history_pb2.HistoryOptions,
    HistorySettings: session_pb2.HistorySettings,
    HistorySummary: history_pb2.HistorySummary,
}
# The place of the session's fields in the request of each call that sets them.
SETTERS: dict[str, tuple[str, Callable[[Client], Any]]] = {
    "create_session": ("session", lambda c: c.create_session("s", SESSION)),
    "update_session": ("session", lambda c: c.update_session("s", history_settings=SETTINGS)),
    "ensure_active_session": ("new_session", lambda c: c.ensure_active_session("u", SESSION)),
    "fork_session": ("new_session", lambda c: c.fork_session("s", SESSION)),
    "reset_session": ("new_session", lambda c: c.reset_session("s", SESSION)),
    "append_message": ("new_session", lambda c: c.append_message("s", MESSAGE, new_session=SESSION)),
    "append_messages": ("new_session", lambda c: c.append_messages("s", [MESSAGE], new_session=SESSION)),
}


def _names(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("kind", CONTRACT, ids=lambda kind: kind.__name__)
def test_no_field_of_the_contract_is_missing(kind: type) -> None:
    """A type has the fields of its message in the contract."""
    assert _names(kind) == set(CONTRACT[kind].DESCRIPTOR.fields_by_name)


def test_no_argument_is_missing() -> None:
    """The arguments of ``get_history`` are the fields of its request; among them are all options."""
    arguments = set(inspect.signature(AsyncSessionHistoryClient.get_history).parameters)
    assert arguments - {"self", "timeout_seconds"} == set(pb.GetHistoryRequest.DESCRIPTOR.fields_by_name)
    assert _names(HistoryOptions) < arguments


@pytest.mark.parametrize("sample", [OPTIONS, SETTINGS, WINDOW], ids=lambda sample: type(sample).__name__)
def test_the_samples_are_whole(sample: Any) -> None:
    """A sample has every field."""
    assert [name for name in _names(type(sample)) if getattr(sample, name) is None] == []


async def test_every_option_is_sent(connect: Connect, fake: FakeServer) -> None:
    """Each option is sent, also a zero and a false; without options none is."""
    client = connect(fake.address)
    await client.get_history("s", before_sequence=9, **_arguments())
    await client.append_message("s", HELLO, history=OPTIONS)
    await client.get_history("s")
    await client.append_message("s", HELLO, history=HistoryOptions())
    read, appended, bare, defaults = (call.request for call in fake.calls)
    assert read == _request("s", before_sequence=9)
    assert appended.history == SENT_OPTIONS
    assert bare == pb.GetHistoryRequest(session_id="s")
    assert (defaults.HasField("history"), defaults.history) == (True, history_pb2.HistoryOptions())


async def test_every_option_is_sent_with_a_stream(connect: Connect, fake: FakeServer) -> None:
    """Each option is in the header of a stream."""
    client = connect(fake.address)
    async with client.append_message_stream("s", history=OPTIONS) as stream:
        await stream.finish()
    header = fake.calls[0].request.header
    assert header.history == SENT_OPTIONS


async def test_every_option_is_sent_over_a_stream_of_calls(
    connect_asyncio: Connect, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls over a stream have their options, and get every field of their windows."""
    allow_slow_openings(monkeypatch)
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    read, append = await begun(
        stream, client.get_history("a", **_arguments()), client.append_message("b", HELLO, history=OPTIONS)
    )
    assert stream.calls[0].get_history == _request("a")
    assert stream.calls[1].append_message.history == SENT_OPTIONS
    await stream.answer("a", pb.GetHistoryResponse(history=ANSWER))
    await stream.answer("b", pb.AppendMessageResponse(history=ANSWER))
    assert (await read, (await append).history) == (WINDOW, WINDOW)


async def test_every_field_of_a_window_is_read(connect: Connect, fake: FakeServer) -> None:
    """Each field is read, also a zero; a field that is absent is ``None``."""
    client = connect(fake.address)
    fake.answers = [pb.GetHistoryResponse(history=ANSWER), pb.AppendMessageResponse(history=ANSWER)]
    assert await client.get_history("s") == WINDOW
    assert (await client.append_message("s", HELLO)).history == WINDOW
    bare = await client.get_history("s")
    assert (bare.next_before_sequence, bare.summary) == (None, None)
    assert (bare.tokens_until_move, bare.messages_until_move) == (None, None)


@pytest.mark.parametrize("name", SETTERS)
async def test_every_setting_is_sent(connect: Connect, fake: FakeServer, name: str) -> None:
    """Each setting of a session's windows is sent, also a zero and a false."""
    place, call = SETTERS[name]
    await call(connect(fake.address))
    (sent,) = fake.calls
    assert getattr(sent.request, place).history_settings == SENT_SETTINGS


async def test_every_setting_is_read(connect: Connect, fake: FakeServer) -> None:
    """Each setting is read; a setting that is absent is ``None``."""
    client = connect(fake.address)
    fake.answers = [
        pb.GetSessionResponse(session={"history_settings": settings})
        for settings in (SENT_SETTINGS, session_pb2.HistorySettings())
    ]
    assert (await client.get_session("s")).history_settings == SETTINGS
    assert (await client.get_session("s")).history_settings == HistorySettings()


def _arguments() -> dict[str, Any]:
    return {name: getattr(OPTIONS, name) for name in _names(HistoryOptions)}


def _request(session_id: str, **fields: Any) -> pb.GetHistoryRequest:
    options: dict[Any, Any] = {field.name: value for field, value in SENT_OPTIONS.ListFields()}
    return pb.GetHistoryRequest(session_id=session_id, **options, **fields)
