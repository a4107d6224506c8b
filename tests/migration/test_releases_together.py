"""A release beside the one before it on one database: each reads the other's data correctly."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest
from migration_support import revisions

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support import releases
from support.databases import execute
from support.lockstep import Lockstep
from support.processes import Server
from support.reference import Reference
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEPS = 120

# The first revision whose migration has such a test.
FIRST = "0007"
EARLIEST = ("0007", "0008")
"""The revisions before which a release knows neither reasoning nor the count of JSON."""


class Together(NamedTuple):
    """The methods of both releases, and whether the old one knows summaries."""

    old: Any
    new: Any
    old_knows_summaries: bool
    database_url: str


@contextmanager
def _serving(server: Server) -> Iterator[Server]:
    try:
        yield server
    finally:
        server.clean()


@pytest.fixture(scope="module", params=releases.BEFORE)
def old_release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A revision, and the sources of the release before it."""
    return request.param, releases.extract(request.param, tmp_path_factory.mktemp("release"))


@pytest.fixture
def together(old_release: tuple[str, Path], database_url: str) -> Iterator[Together]:
    """The release before a revision and this one, on a database of this one."""
    revision, folder = old_release
    with (
        _serving(releases.serve(folder, database_url)) as old,
        _serving(Server("--database-url", database_url)) as new,
    ):
        yield Together(releases.stub_of(old, revision), new.stub(), revision > "0007", database_url)


def test_each_migration_has_a_release_before_it() -> None:
    """Each revision names the commit before it."""
    assert list(releases.BEFORE) == [revision for revision in revisions() if revision >= FIRST]


def _append(stub: Any, *contents: str) -> None:
    messages = [mpb.Message(role=mpb.ROLE_USER, content=content, token_count=1) for content in contents]
    stub.AppendMessages(pb.AppendMessagesRequest(session_id="s", messages=messages, new_session={}))


def _compact(stub: Any, through: int) -> Any:
    message = mpb.Message(content=f"through {through}", token_count=1)
    request = pb.CompactHistoryRequest(session_id="s", through_sequence=through, message=message)
    return stub.CompactHistory(request).summary


def _truncate(stub: Any, keep: int) -> None:
    stub.TruncateMessages(pb.TruncateMessagesRequest(session_id="s", keep_through_sequence=keep))


def _window(stub: Any, session_id: str = "s") -> list[str]:
    request = pb.GetHistoryRequest(session_id=session_id, max_messages=1_000)
    return [message.content for message in stub.GetHistory(request).history.messages]


def _messages(stub: Any, session_id: str = "s") -> list[mpb.Message]:
    return list(stub.ListMessages(pb.ListMessagesRequest(session_id=session_id)).messages)


def test_the_old_one_truncates_what_the_new_one_compacted(together: Together) -> None:
    """A summary of messages that the old release removed is not used in windows, forks and compactions."""
    _append(together.new, *"123456")
    _compact(together.new, 2)
    _compact(together.new, 5)
    _truncate(together.old, 3)
    assert _window(together.new) == ["through 2", "3"]
    _append(together.old, "7", "8")
    assert _window(together.new) == ["through 2", "3", "7", "8"]
    together.new.ForkSession(pb.ForkSessionRequest(session_id="s", new_session_id="fork"))
    assert _window(together.new, "fork") == ["through 2", "3", "7", "8"]
    assert _compact(together.new, 8).message_count == 5
    _truncate(together.old, 1)
    assert _window(together.new) == ["1"]


def test_the_new_one_truncates_after_the_old_one(together: Together) -> None:
    """A summary that the old release has made void is not used again later."""
    _append(together.new, *"123456")
    _compact(together.new, 5)
    _truncate(together.old, 3)
    _append(together.old, *"789")
    _truncate(together.new, 8)
    assert _window(together.new) == ["1", "2", "3", "7", "8"]


def test_the_old_one_purges_what_the_new_one_compacted(together: Together) -> None:
    """After a purge by the old release the id's next session has no summary; the sweep removes the text."""
    _append(together.new, *"123456")
    for through in (2, 5):
        _compact(together.new, through)
    together.old.DeleteSession(pb.DeleteSessionRequest(session_id="s", purge=True))
    _append(together.old, *"abcdef")
    assert _window(together.new) == list("abcdef")
    assert _compact(together.new, 5).message_count == 5
    assert _window(together.new) == ["through 5", "f"]
    _compact(together.new, 2)
    together.old.DeleteSession(pb.DeleteSessionRequest(session_id="s", purge=True))
    texts = "select content from summaries"
    with _serving(Server("--database-url", together.database_url)) as sweeping:
        sweeping.stub()
        eventually(lambda: not execute(together.database_url, texts))


@pytest.mark.parametrize("old_release", EARLIEST, indirect=True)
def test_the_old_one_leaves_what_it_does_not_know(together: Together) -> None:
    """The old release shows empty text for reasoning, and keeps data that it does not show."""
    thought = mpb.Part(reasoning={"text": "Hm.", "opaque": "AbC=", "signature": "s"})
    answer = mpb.Message(role=mpb.ROLE_ASSISTANT, content="1", parts=[thought], finish_reason="stop")
    request = pb.AppendMessagesRequest(session_id="s", messages=[answer], new_session={"application_id": "a"})
    together.new.AppendMessages(request)
    with pytest.raises(grpc.RpcError) as refused:
        together.old.AppendMessages(request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    (seen,) = _messages(together.old)
    assert (list(seen.parts), seen.finish_reason) == ([mpb.Part(text="")], "")
    assert _window(together.old) == ["1"]
    _append(together.old, "2")
    together.old.RecountTokens(pb.RecountTokensRequest(session_id="s"))
    forked = together.old.ForkSession(pb.ForkSessionRequest(session_id="s")).session.session_id
    for session_id, finish_reason, application_id in (("s", "stop", "a"), (forked, "", "")):
        first, _ = _messages(together.new, session_id)
        assert (list(first.parts), first.finish_reason) == ([thought], finish_reason)
        session = together.new.GetSession(pb.GetSessionRequest(session_id=session_id)).session
        assert session.application_id == application_id


@pytest.mark.parametrize("old_release", ["0009"], indirect=True)
def test_the_old_one_leaves_steps(together: Together) -> None:
    """The old release begins windows without steps, and keeps the steps of a session."""
    steps = {"max_messages": 4, "step_messages": 2, "unanswered_calls": "UNANSWERED_CALLS_OMIT"}
    created = pb.CreateSessionRequest(session_id="s", session={"history_settings": steps})
    together.new.CreateSession(created)
    _append(together.new, *"12345")
    changed = pb.UpdateSessionRequest(session_id="s", session={"title": "t"})
    together.old.UpdateSession(changed)
    for stub, expected in ((together.old, ["2", "3", "4", "5"]), (together.new, ["2", "3", "4", "5"])):
        assert _session_window(stub) == expected
    _append(together.old, "6")
    assert _session_window(together.old) == ["3", "4", "5", "6"]
    assert _session_window(together.new) == ["4", "5", "6"]
    shown = together.new.GetSession(pb.GetSessionRequest(session_id="s")).session.history_settings
    assert shown == created.session.history_settings


def _session_window(stub: Any) -> list[str]:
    return [m.content for m in stub.GetHistory(pb.GetHistoryRequest(session_id="s")).history.messages]


@pytest.mark.parametrize("old_release", EARLIEST, indirect=True)
def test_the_old_one_drops_what_it_does_not_know(together: Together) -> None:
    """A message from the old release has no finish_reason, so that a retry with one is another message."""
    message = mpb.Message(message_id="m", role=mpb.ROLE_ASSISTANT, content="1", finish_reason="stop")
    request = pb.AppendMessagesRequest(session_id="s", messages=[message], new_session={})
    together.old.AppendMessages(request)
    with pytest.raises(grpc.RpcError) as refused:
        together.new.AppendMessages(request)
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS


@pytest.mark.parametrize("old_release", EARLIEST, indirect=True)
def test_the_counters_of_both(together: Together) -> None:
    """A session keeps the old release's counter; one that the old release cannot count becomes mixed."""
    json = mpb.Message(role=mpb.ROLE_USER, parts=[{"json": '"four words of JSON"'}])
    for session_id, stubs in (("old", (together.old, together.new)), ("new", (together.new, together.old))):
        for stub in stubs:
            stub.AppendMessage(pb.AppendMessageRequest(session_id=session_id, message=json, new_session={}))
    session = pb.GetSessionRequest(session_id="old")
    found = together.new.GetSession(session).session
    assert (found.token_counter, found.total_tokens) == ("characters", 0)
    session.session_id = "new"
    found = together.new.GetSession(session).session
    assert (found.token_counter, found.total_tokens) == ("mixed", 5)
    recounted = together.new.RecountTokens(pb.RecountTokensRequest(session_id="new")).session
    assert (recounted.token_counter, recounted.total_tokens) == ("characters@2", 10)


@pytest.mark.parametrize("old_release", EARLIEST, indirect=True)
def test_a_title_of_a_text_part(together: Together) -> None:
    """The new release makes a title of a text part, also for the old release's sessions without one."""
    spoken = mpb.Message(role=mpb.ROLE_USER, parts=[{"text": "hello"}], token_count=1)
    for stub, title in ((together.old, ""), (together.new, "hello"), (together.old, "hello")):
        stub.AppendMessage(pb.AppendMessageRequest(session_id="s", message=spoken, new_session={}))
        for reader in (together.old, together.new):
            assert reader.GetSession(pb.GetSessionRequest(session_id="s")).session.title == title


@pytest.mark.parametrize("seed", range(3))
def test_calls_of_both_mixed(together: Together, seed: int) -> None:
    """Both releases together answer as one release would."""
    generator = random.Random(seed)
    walk = _Walk(together, generator)
    summed_up = sum(walk.step().history.HasField("summary") for _ in range(STEPS))
    assert summed_up > STEPS / 10


class _OneCounter:
    """The methods of a release, with one name for the counters of both releases.

    A session has the counter of the release that created it.
    """

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def ForkSession(  # noqa: N802 - as the contract names it
        self, request: pb.ForkSessionRequest, **options: Any
    ) -> pb.ForkSessionResponse:
        """Make a session with the messages of another."""
        answer: pb.ForkSessionResponse = self._stub.ForkSession(request, **options)
        assert answer.session.token_counter in {"characters", "characters@2"}
        answer.session.token_counter = "characters@2"
        return answer


class _Walk:
    """Random calls on one session, each to the old release or the new one, compared with the reference.

    A release's own view of a session is not compared, because the old one does not know how far the session
    is compacted. All messages have a token_count, because the old release counts differently.
    """

    def __init__(self, together: Together, generator: random.Random) -> None:
        self._together = together
        self._random = generator
        self._both = Lockstep(together.new, Reference())
        self._number = 0
        self._last = 0
        self._append()

    def step(self) -> Any:
        """Make one call, read the messages, and return the window."""
        steps = (self._append, self._truncate, self._compact, self._fork, self._purge)
        self._random.choices(steps, weights=(8, 4, 5, 2, 1))[0]()
        # In one page: the releases before revision 0010 do not sign the tokens of pages.
        listing = pb.ListMessagesRequest(session_id="s", page_size=1_000)
        self._call(self._any(), "ListMessages", listing)
        window = pb.GetHistoryRequest(session_id="s", max_messages=1_000)
        return self._call(self._together.new, "GetHistory", window)

    def _append(self) -> None:
        messages = []
        for _ in range(self._random.randint(1, 4)):
            self._number += 1
            said = mpb.Message(message_id=f"m{self._number}", role=mpb.ROLE_USER, token_count=1)
            said.content, said.pinned = said.message_id, self._random.random() < 0.1
            messages.append(said)
        request = pb.AppendMessagesRequest(session_id="s", messages=messages, new_session=spb.SessionFields())
        self._last = self._call(self._any(), "AppendMessages", request).last_sequence

    def _truncate(self) -> None:
        keep = self._random.randint(max(self._last - 6, 0), self._last)
        request = pb.TruncateMessagesRequest(session_id="s", keep_through_sequence=keep)
        self._call(self._any(), "TruncateMessages", request)

    def _compact(self) -> None:
        through = self._random.randint(max(self._last - 8, 1), max(self._last, 1))
        message = mpb.Message(content="shorter", message_id=f"summary-{self._number}", token_count=1)
        request = pb.CompactHistoryRequest(session_id="s", through_sequence=through, message=message)
        self._call(self._any(summaries=True), "CompactHistory", request)

    def _fork(self) -> None:
        new_id, through = f"fork-{self._number}", self._random.randint(0, self._last)
        request = pb.ForkSessionRequest(session_id="s", new_session_id=new_id, through_sequence=through)
        if new_id not in self._both.reference.sessions:
            self._call(_OneCounter(self._any(summaries=True)), "ForkSession", request)
            self._call(self._together.new, "GetHistory", pb.GetHistoryRequest(session_id=new_id))

    def _purge(self) -> None:
        request = pb.DeleteSessionRequest(session_id="s", purge=True)
        self._any().DeleteSession(request)
        self._both.reference.call("DeleteSession", request)
        self._append()

    def _any(self, *, summaries: bool = False) -> Any:
        """Return one of the releases' methods; for a call with summaries, of a release that knows them."""
        both = self._together.old_knows_summaries or not summaries
        return self._random.choice((self._together.old, self._together.new)) if both else self._together.new

    def _call(self, stub: Any, method: str, request: Any) -> Any:
        self._both.stub = stub
        return self._both.call(method, request)
