"""Sessions that were counted before JSON had tokens keep their way of counting until a recount."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tokens_support import append, counter_of, inconsistent, recount, says

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_cli.commands import cli
from sessionhistory_server.observability import logs
from support.databases import execute
from support.talk import TOKEN_BUDGET, compact, sequences, window

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

JSON = says(None, parts=[{"json": '["four words of JSON"]'}])

# By the server's counter: the tokens of the JSON message, and its tokens in a session of before.
COUNTERS = {"characters": (6, 0), "words": (4, 0), "bytes:2": (11, 0)}


async def _begun_before(serve: Serve, url: str, counter: str, *, coalesce: bool = True) -> Service:
    """Serve, with a session of one message that was counted as before JSON had tokens."""
    service = await serve(url, token_counter=counter, coalesce=coalesce)
    await append(service, says("one", token_count=1))
    execute(url, f"update sessions set token_counter = '{counter}'")
    return service


async def test_json_is_heavy(serve: Serve, database_url: str) -> None:
    """Five tool results with 200,020 characters of JSON do not fit a budget of 100."""
    service = await serve(database_url)
    result = says(None, role="ROLE_TOOL", parts=[{"json": f'["{"x" * 40_000}"]'}])
    await append(service, says("hello"), *[result] * 5, says("bye"))
    read = await window(service, token_budget=100)
    assert (sequences(read), read.total_tokens, read.cut) == ([7], 1, TOKEN_BUDGET)
    session = (await service.stub.GetSession(pb.GetSessionRequest(session_id="s"))).session
    assert (session.token_counter, session.total_tokens) == ("characters@2", 5 * 10_001 + 3)


@pytest.mark.parametrize("counter", COUNTERS)
@pytest.mark.parametrize("coalesce", [True, False], ids=["shared", "alone"])
async def test_such_a_session_goes_on_as_it_began(
    serve: Serve, database_url: str, counter: str, *, coalesce: bool
) -> None:
    """Appends, batches, replacements, summaries and forks with messages count as before.

    A fork without messages counts JSON.
    """
    service = await _begun_before(serve, database_url, counter, coalesce=coalesce)
    after, before = COUNTERS[counter]
    assert await append(service, JSON, says("hello", token_count=9)) == [before, 9]
    for fields in ({}, {"keep_through_sequence": 2}, {"state_patch": "{}"}):
        batch = pb.AppendMessagesRequest(session_id="s", messages=[JSON, JSON], **fields)
        assert [m.token_count for m in (await service.stub.AppendMessages(batch)).messages] == [before] * 2
    (part,) = JSON.parts
    summary = pb.CompactHistoryRequest(session_id="s", through_sequence=1, message={"parts": [part]})
    assert (await service.stub.CompactHistory(summary)).message.token_count == before
    assert await counter_of(service) == counter
    for through, name in ((2, counter), (0, f"{counter}@2")):
        fork = pb.ForkSessionRequest(session_id="s", through_sequence=through)
        assert (await service.stub.ForkSession(fork)).session.token_counter == name
    assert await append(service, JSON, session_id="new") == [after]
    assert inconsistent(database_url) == []


@pytest.mark.parametrize("counter", COUNTERS)
@pytest.mark.parametrize("command", [True, False], ids=["command", "RPC"])
async def test_a_recount_counts_the_json(
    serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch, counter: str, *, command: bool
) -> None:
    """A recount by the server's counter counts JSON; a second one changes nothing; appends count it too."""
    monkeypatch.setattr(logs, "configure", lambda **_: None)  # of this whole process
    service = await _begun_before(serve, database_url, counter)
    after, before = COUNTERS[counter]
    assert await append(service, JSON) == [before]
    await compact(service, 1, None, "a summary")
    if command:
        arguments = ["recount", "--database-url", database_url, "--token-counter", counter]
        for counted in ("1 of 1 sessions recounted: 1", "0 of 1 sessions recounted: 0"):
            result = await asyncio.to_thread(CliRunner().invoke, cli, arguments)
            assert result.output == f"{counted} token counts changed\n"
    else:
        assert (await recount(service)).changed_message_count == 1
    session = (await service.stub.GetSession(pb.GetSessionRequest(session_id="s"))).session
    assert (session.token_counter, session.total_tokens) == (f"{counter}@2", 1 + after)
    assert await append(service, JSON) == [after]
    assert inconsistent(database_url) == []
