"""The counter of a session: all its numbers come from that one, or the counter is "mixed"."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tokens_support import append, counter_of, inconsistent, says

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server.tokens import counters
from support.databases import execute
from support.talk import TOKEN_BUDGET, compact, sequences, window
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

SERVERS = pytest.mark.parametrize("coalesce", [True, False], ids=["shared", "alone"])


async def test_sessions_are_counted_by_the_servers_counter(
    serve: Serve, database_url: str, vocabularies: Path
) -> None:
    """A new session names the server's counter, and its windows use that counter's numbers."""
    service = await serve(database_url, token_counter="tiktoken:tiny", tiktoken_dir=vocabularies)
    created = await service.stub.CreateSession(pb.CreateSessionRequest(session_id="t"))
    assert created.session.token_counter == "tiktoken:tiny@2"
    assert await append(service, says("hello world"), says("help"), says("日", token_count=9)) == [2, 3, 9]
    session = (await service.stub.GetSession(pb.GetSessionRequest(session_id="s"))).session
    assert (session.token_counter, session.total_tokens) == ("tiktoken:tiny@2", 14)
    cut = await window(service, token_budget=13)
    assert (sequences(cut), cut.total_tokens, cut.cut) == ([2, 3], 12, TOKEN_BUDGET)
    listed = await service.stub.ListSessions(pb.ListSessionsRequest())
    assert [found.token_counter for found in listed.sessions] == ["tiktoken:tiny@2"] * 2


@SERVERS
async def test_a_session_keeps_its_counter(serve: Serve, database_url: str, *, coalesce: bool) -> None:
    """A server with another counter counts by the session's counter, for single messages and batches."""
    old = await serve(database_url)
    await append(old, says("a b c d e"))
    new = await serve(database_url, token_counter="words", coalesce=coalesce)
    assert await append(new, says("a b c d e")) == [3]
    batch = pb.AppendMessagesRequest(session_id="s", messages=[says("a b c d e"), says("a", token_count=7)])
    answer = await new.stub.AppendMessages(batch)
    assert [message.token_count for message in answer.messages] == [3, 7]
    batch = pb.AppendMessagesRequest(session_id="s", messages=[says("a b c d e")], state_patch="{}")
    answer = await new.stub.AppendMessages(batch)
    assert ([message.token_count for message in answer.messages], answer.state_version) == ([3], 1)
    assert await append(new, says("a b c d e"), session_id="t") == [5]
    assert await append(old, says("a b c d e"), session_id="t") == [5]
    assert [await counter_of(new, name) for name in ("s", "t")] == ["characters@2", "words@2"]
    assert (await window(new, "s", token_budget=13)).total_tokens == 13
    batch = pb.AppendMessagesRequest(session_id="s", messages=[says("a b c d e")], keep_through_sequence=0)
    assert (await new.stub.AppendMessages(batch)).total_tokens == 3


async def test_sessions_of_several_counters_at_once(serve: Serve, database_url: str) -> None:
    """Appends that share statements are counted by the counter of each session."""
    servers = [await serve(database_url, token_counter=name) for name in ("characters", "words", "bytes:2")]
    for number, server in enumerate(servers):
        await append(server, says("a b c d e f"), session_id=f"s{number}")
    names = [f"s{number % 3}" for number in range(60)]
    texts = [says("a b c d e f", message_id=f"m{number}") for number in range(60)]
    counts = await asyncio.gather(
        *(append(servers[1], text, session_id=name) for name, text in zip(names, texts, strict=True))
    )
    assert counts == [[3], [6], [6]] * 20
    assert [await counter_of(servers[0], f"s{number}") for number in range(3)] == [
        "characters@2",
        "words@2",
        "bytes:2@2",
    ]


async def test_a_retry_at_a_server_of_another_counter(serve: Serve, database_url: str) -> None:
    """A retry returns the first result with its count, and stores nothing."""
    old, new = await serve(database_url), await serve(database_url, token_counter="words")
    message = says("a b c d e", message_id="m")
    assert await append(old, message) == [3]
    assert await append(new, message) == [3]
    session = (await new.stub.GetSession(pb.GetSessionRequest(session_id="s"))).session
    assert (session.message_count, session.total_tokens, session.token_counter) == (1, 3, "characters@2")


async def test_all_ways_to_append_heed_the_sessions_counter(serve: Serve, database_url: str) -> None:
    """Plain appends, appends with a patch, replacements and streams use the session's counter."""
    old, new = await serve(database_url), await serve(database_url, token_counter="words")
    await append(old, says("a b c d e"))
    patched = pb.AppendMessageRequest(session_id="s", message=says("a b c d e"), state_patch='{"a": 1}')
    assert (await new.stub.AppendMessage(patched)).message.token_count == 3
    replaced = pb.AppendMessagesRequest(
        session_id="s", messages=[says("a b c d e"), says("a b")], keep_through_sequence=1
    )
    answer = await new.stub.AppendMessages(replaced)
    assert [message.token_count for message in answer.messages] == [3, 1]
    answered = mpb.Message(role=mpb.ROLE_ASSISTANT, message_id="streamed")
    pieces = [
        stream_pb.AppendMessageStreamRequest(header={"session_id": "s", "message": answered}),
        stream_pb.AppendMessageStreamRequest(delta={"text": "a b c "}),
        stream_pb.AppendMessageStreamRequest(delta={"text": "d e"}),
        stream_pb.AppendMessageStreamRequest(finish={}),
    ]
    assert (await new.stub.AppendMessageStream(iter(pieces))).message.token_count == 3
    assert await counter_of(new) == "characters@2"
    assert inconsistent(database_url) == []


async def test_copies_are_counted_as_what_they_hold(serve: Serve, database_url: str) -> None:
    """A copy has the counter of the copied messages; without messages it has the server's."""
    old, new = await serve(database_url), await serve(database_url, token_counter="words")
    await append(old, says("a b c d e"))
    for up_to, counter in ((1, "characters@2"), (0, "words@2")):
        fork = pb.ForkSessionRequest(session_id="s", through_sequence=up_to)
        assert (await new.stub.ForkSession(fork)).session.token_counter == counter
    execute(database_url, "update sessions set token_counter = 'mixed'")
    for keeps, counter in ((True, "mixed"), (False, "words@2")):
        reset = pb.ResetSessionRequest(session_id="s", keep_messages=keeps)
        assert (await new.stub.ResetSession(reset)).session.token_counter == counter
        opened = spb.SessionFields(status=spb.SESSION_STATUS_ACTIVE)
        await new.stub.UpdateSession(pb.UpdateSessionRequest(session_id="s", session=opened))


async def test_refusals_come_before_counters(serve: Serve, database_url: str) -> None:
    """The refusals of an append do not depend on the session's counter."""
    old, new = await serve(database_url), await serve(database_url, token_counter="words")
    await append(old, says("a"))
    request = pb.AppendMessageRequest(session_id="s", message=says("b"), expected_last_sequence=5)
    with pytest.raises(Exception, match="last sequence 1, not 5"):
        await new.stub.AppendMessage(request)
    request.expected_last_sequence = 1
    assert (await new.stub.AppendMessage(request)).last_sequence == 2


async def test_summaries_are_counted_by_the_sessions_counter(serve: Serve, database_url: str) -> None:
    """A summary is counted by the session's counter; if that is not available, the session becomes mixed."""
    old, new = await serve(database_url), await serve(database_url, token_counter="words")
    await append(old, says("a b c d e"))
    for service, name, text in ((new, "characters@2", "a b c d e"), (new, "characters@2", "f g h i j")):
        assert (await compact(service, 1, None, text)).message.token_count == 3
        assert await counter_of(service) == name
    await append(new, says("a b c d e"), session_id="t")
    assert (await compact(old, 1, None, "a b c d e", session_id="t")).message.token_count == 5
    execute(database_url, "update sessions set token_counter = 'gone'")
    assert (await compact(new, 1, 4, "given")).message.token_count == 4
    assert await counter_of(new) == "gone"
    assert (await compact(new, 1, None, "a b c d e")).message.token_count == 5
    assert [await counter_of(new, name) for name in ("s", "t")] == ["mixed", "gone"]


async def test_summaries_are_counted_again_with_their_session(serve: Serve, database_url: str) -> None:
    """A recount counts all summaries and their covered messages; a caller's count stays."""
    old, new = await serve(database_url), await serve(database_url, token_counter="words")
    await append(old, says("a b c d e"), says("f"), says("g"))
    for through, tokens in ((1, None), (2, 7), (3, None)):
        await compact(old, through, tokens, "a b c d e")
    await new.stub.RecountTokens(pb.RecountTokensRequest(session_id="s"))
    for through, tokens, covered in ((1, 5, 5), (2, 7, 6), (3, 5, 7)):
        read = await window(new, before_sequence=through + 1)
        assert (read.total_tokens, read.summary.total_tokens) == (tokens, covered)


async def test_counts_of_callers_need_no_counter(serve: Serve, database_url: str) -> None:
    """If the caller gives all counts, no counter is needed, and the session keeps its counter."""
    service = await serve(database_url)
    await append(service, says("a", token_count=5))
    execute(database_url, "update sessions set token_counter = 'gone'")
    assert await append(service, says("poison", token_count=6)) == [6]
    assert await counter_of(service) == "gone"


@SERVERS
@pytest.mark.parametrize("gone", ["gone:1", "panicking", "leaving"])
async def test_without_the_sessions_counter_it_says_mixed(
    serve: Serve, database_url: str, caplog: pytest.LogCaptureFixture, gone: str, *, coalesce: bool
) -> None:
    """If the session's counter is not available, the server's counts, and the session becomes mixed."""
    service = await serve(database_url, token_counter="words", coalesce=coalesce)
    await append(service, says("a b c d e"))
    execute(database_url, f"update sessions set token_counter = '{gone}'")
    assert await append(service, says("a b c d e f"), says("a")) == [6, 1]
    assert await counter_of(service) == "mixed"
    other = await serve(database_url, coalesce=coalesce)
    assert await append(other, says("a b c d e f")) == [3]
    assert await counter_of(service) == "mixed"
    (warning,) = (r.getMessage() for r in caplog.records if "is not available" in r.getMessage())
    assert gone in warning


@pytest.mark.parametrize("how", ["panic", "exit", "text", "negative", "huge", "none", "error"])
async def test_a_counter_that_fails_loses_no_message(
    serve: Serve, database_url: str, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """If the counter fails, the message is stored and counted by characters.

    The session becomes mixed, and the log has a line without the text.
    """
    service = await serve(database_url, token_counter=f"failing:{how}")
    assert await append(service, says("a b c")) == [3]
    assert await counter_of(service) == f"failing:{how}@2"
    assert await append(service, says("poison cup"), says("a b c")) == [3, 3]
    assert await counter_of(service) == "mixed"
    assert await append(service, says("poison cup"), session_id="new") == [3]
    assert await counter_of(service, "new") == "mixed"
    failures = [record for record in caplog.records if "token counter failed" in record.getMessage()]
    assert len(failures) == 2
    assert not any("poison" in record.getMessage() for record in caplog.records)


async def test_a_batch_of_which_one_fails(serve: Serve, database_url: str) -> None:
    """Only the message at which the counter fails is counted by characters."""
    service = await serve(database_url, token_counter="failing")
    messages = [says("a b c d e f g"), says("poison"), says("a", token_count=4)]
    request = pb.AppendMessagesRequest(session_id="s", messages=messages, new_session=spb.SessionFields())
    answer = await service.stub.AppendMessages(request)
    assert [message.token_count for message in answer.messages] == [7, 2, 4]
    assert await counter_of(service) == "mixed"


async def test_long_texts_are_counted_beside_the_event_loop(serve: Serve, database_url: str) -> None:
    """Calls are answered while a long text is counted in a thread; a short one is counted at once."""
    service = await serve(database_url, token_counter="slow")
    plugin: Any = sys.modules["test_plugin"]
    plugin.threads.clear()
    main = threading.current_thread().name
    assert await append(service, says("short")) == [5]
    assert plugin.threads == [main]
    plugin.release.clear()
    long = asyncio.create_task(append(service, says("wait" * 2_000), session_id="long"))
    await until(lambda: len(plugin.threads) == 2)
    assert await append(service, says("short")) == [5]
    assert not long.done()
    plugin.release.set()
    assert await long == [8_000]
    assert plugin.threads[1] != main


async def test_many_short_texts_are_counted_beside_the_event_loop(serve: Serve, database_url: str) -> None:
    """A batch is counted as a whole; messages with a caller's count are not."""
    service = await serve(database_url, token_counter="slow")
    plugin: Any = sys.modules["test_plugin"]
    plugin.threads.clear()
    main = threading.current_thread().name
    limit = counters._MAX_TOKENS_AT_ONCE  # noqa: SLF001 - the limit between the two
    texts = [mpb.Message(role=mpb.ROLE_USER, content="text") for _ in range(limit // 4)] * 1
    request = pb.AppendMessagesRequest(messages=texts, new_session=spb.SessionFields())
    await service.stub.AppendMessages(request)
    assert set(plugin.threads) == {main}
    plugin.threads.clear()
    request.messages.extend([says("x" * 4 * limit)])
    await service.stub.AppendMessages(request)
    assert main not in plugin.threads
    plugin.threads.clear()
    request.messages[-1].token_count = 1
    await service.stub.AppendMessages(request)
    assert set(plugin.threads) == {main}
