"""What callers do, in any order, as a state machine over the service and its reference."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support import strategies as sent
from support.conversations_compaction import Compacting
from support.conversations_edits import ACTING, ODDS, SESSION_IDS, Edits
from support.conversations_state import States
from support.conversations_streams import Streams
from support.databases import execute
from support.lockstep import Lockstep
from support.reference import Reference
from support.reference_rules import MUTABLE, Refused
from support.reference_tokens import BYTES, CHARACTERS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

DEFAULTS: dict[str, Any] = {"max_messages": 12, "token_budget": 400, "model_token_budgets": {"m": 40}}


class Conversations(Edits, States, Streams, Compacting, RuleBasedStateMachine):
    """What callers do, in any order."""

    # Set before the machine runs.
    stubs: Mapping[str, Any]
    database_url: str
    reached: Counter[str]

    sent_appends = Bundle("sent_appends")
    open_lists = Bundle("open_lists")

    def __init__(self) -> None:
        super().__init__()
        self.both = Lockstep(self.stubs[CHARACTERS], Reference(**DEFAULTS))
        self.numbers = itertools.count()

    def teardown(self) -> None:
        """Leave nothing for the next example."""
        tables = ("messages", "summaries", "sessions")
        execute(self.database_url, *(f"delete from {table}" for table in tables))

    # Creating and changing sessions

    @initialize(talks=st.tuples(*[sent.talks(max_size=15)] * 3), session=sent.sessions(active=True))
    def begin(self, talks: tuple[list[mpb.Message], ...], session: spb.Session) -> None:
        """Three conversations that are under way."""
        for number, (talk, owner) in enumerate(zip(talks, ("ann", "ann", "bob"), strict=True), start=1):
            made = spb.Session(user_id=owner)
            if number == 1:
                made.MergeFrom(session)
            request = pb.AppendMessagesRequest(session_id=f"s/{number}", messages=talk, create_session=made)
            self._call("AppendMessages", request)

    @rule(name=SESSION_IDS, session=sent.sessions(), owner=st.sampled_from(("", *sent.USERS)), odds=ODDS)
    def create(self, name: str, session: spb.Session, owner: str, odds: int) -> None:
        """With the id here, there, or made by the server."""
        session.user_id = owner
        session.session_id = name if odds % 3 == 0 else ""
        named = "" if odds % 4 == 0 else name
        self._call(
            "CreateSession",
            pb.CreateSessionRequest(session_id=named, session=session, allow_existing=odds % 2 == 1),
        )

    @rule(name=SESSION_IDS, user=ACTING)
    def get(self, name: str, user: str) -> None:
        """One session."""
        self._call("GetSession", pb.GetSessionRequest(session_id=name, user_id=self._user(user, name)))

    @rule(
        name=SESSION_IDS,
        user=ACTING,
        session=sent.sessions(),
        paths=st.none() | st.lists(st.sampled_from((*MUTABLE, "*")), unique=True, max_size=4),
        etag=st.sampled_from((None, None, "now", "now", "other")),
        reopen=st.booleans(),
    )
    def update(
        self,
        name: str,
        user: str,
        session: spb.Session,
        paths: list[str] | None,
        etag: str | None,
        reopen: bool,  # noqa: FBT001 - drawn by name
    ) -> None:
        """By mask or by presence, with an etag or without."""
        kept = self.both.reference.sessions.get(name)
        if etag == "now":
            self._call("GetSession", pb.GetSessionRequest(session_id=name))
        if reopen:
            session.status = spb.SESSION_STATUS_ACTIVE
        if paths is not None and len({"expire_time", "ttl"} & set(paths)) == 1:
            # Which of the two a mask means that names the other one is left open.
            paths = [*paths, "expire_time", "ttl"]
        session.session_id = name
        session.etag = (kept.shown.etag if kept else "") if etag == "now" else etag or ""
        request = pb.UpdateSessionRequest(session=session, user_id=self._user(user, name))
        if paths is not None:
            request.update_mask.paths.extend(paths)
        self._call("UpdateSession", request)

    @rule(
        name=SESSION_IDS, change=st.sampled_from(({"status": 1}, {"status": 2}, {"status": 3}, {"title": ""}))
    )
    def change(self, name: str, change: dict[str, Any]) -> None:
        """Close a session or open it again; take its title away."""
        session = spb.Session(session_id=name, **change)
        request = pb.UpdateSessionRequest(session=session, update_mask={"paths": [*change]})
        self._call("UpdateSession", request)

    @rule(name=SESSION_IDS, user=ACTING, odds=ODDS)
    def delete_or_restore(self, name: str, user: str, odds: int) -> None:
        """Undelete more often than delete, and purge rarely."""
        ref = {"session_id": name, "user_id": self._user(user, name)}
        if odds < 7:
            self._call("UndeleteSession", pb.UndeleteSessionRequest(**ref))
        else:
            request = pb.DeleteSessionRequest(purge=odds == 9, allow_missing=odds % 2 == 0, **ref)
            self._call("DeleteSession", request)

    # Counting

    @rule(counter=st.sampled_from((CHARACTERS, BYTES)))
    def go_to_the_server_of(self, counter: str) -> None:
        """From now on call the server that counts by this counter, on the same database."""
        self.both.stub = self.stubs[counter]
        self.both.reference.counter = counter

    @rule(name=SESSION_IDS, user=ACTING, counters=st.permutations((BYTES, CHARACTERS)))
    def recount(self, name: str, user: str, counters: list[str]) -> None:
        """A session, by the counters of both servers."""
        for counter in counters:
            self.go_to_the_server_of(counter)
            request = pb.RecountTokensRequest(session_id=name, user_id=self._user(user, name))
            response = self._call("RecountTokens", request)
            if not isinstance(response, Refused) and response.changed_message_count:
                self._reach("session recounted")

    # Appending

    @rule(
        target=sent_appends,
        name=SESSION_IDS,
        user=ACTING,
        message=sent.messages(),
        number=st.integers(1, 12),
        create=st.none() | sent.sessions(active=True),
        limits=st.none() | sent.limits,
        odds=ODDS,
    )
    def append(
        self,
        name: str,
        user: str,
        message: mpb.Message,
        number: int,
        create: spb.Session | None,
        limits: dict[str, Any] | None,
        odds: int,
    ) -> Any:
        """One message: with an id that may be taken, or with none."""
        unused = f"m{100 + next(self.numbers)}"
        message.message_id = f"m{number}" if odds < 2 else unused if odds < 8 else ""
        request = pb.AppendMessageRequest(
            session_id=name, user_id=self._user(user, name), message=message, create_session=create
        )
        if limits is not None:
            request.history.CopyFrom(hpb.HistoryOptions(**limits))
        if odds > 6:
            kept = self.both.reference.sessions.get(name)
            request.expected_last_sequence = (kept.shown.last_sequence if kept else 0) + (odds == 9)
        if create is not None and odds == 5:
            request.session_id = ""
        return self._remember(request, self._call("AppendMessage", request))

    @rule(
        target=sent_appends,
        name=SESSION_IDS,
        talk=sent.talks(max_size=12),
        numbers=st.permutations(range(1, 13)),
        create=st.none() | sent.sessions(active=True),
        odds=ODDS,
    )
    def append_batch(
        self, name: str, talk: list[mpb.Message], numbers: list[int], create: spb.Session | None, odds: int
    ) -> Any:
        """Several messages, some with ids; all or nothing."""
        for message, number in zip(talk, numbers, strict=False):
            unused = f"m{100 + next(self.numbers)}"
            message.message_id = f"m{number}" if odds < 2 and number < 3 else unused if odds < 8 else ""
        request = pb.AppendMessagesRequest(session_id=name, messages=talk, create_session=create)
        if odds >= 8:
            request.messages.extend([mpb.Message(role=mpb.ROLE_SYSTEM, pinned=True)] * 64)
        return self._remember(request, self._call("AppendMessages", request))

    @rule(
        request=sent_appends, change=st.sampled_from(("", "", "content", "token_count", "status", "window"))
    )
    def append_again(self, request: Any, change: str) -> None:
        """What was sent before, as it was or with another content."""
        again = type(request)()
        again.CopyFrom(request)
        single = isinstance(again, pb.AppendMessageRequest)
        message = again.message if single else again.messages[-1]
        if change == "window" and single:
            again.history.SetInParent()
        elif change == "status":
            message.status = mpb.MESSAGE_STATUS_INTERRUPTED
        elif change == "token_count":
            message.token_count ^= 1
        elif change == "content":
            message.content += "!"
        self._call("AppendMessages" if not single else "AppendMessage", again)

    @rule(
        name=SESSION_IDS,
        first=st.integers(0, 40),
        step=st.sampled_from((1, 1, 2, -1)),
        size=st.integers(1, 4),
    )
    def append_what_is_stored(self, name: str, first: int, step: int, size: int) -> None:
        """Messages that are stored, in a row or not, as one batch."""
        kept = self.both.reference.sessions.get(name)
        if kept and kept.sent:
            stored = list(kept.sent.values())
            first %= len(stored)
            batch = stored[first::step][:size]
            request = pb.AppendMessagesRequest(session_id=name, messages=batch)
            if not isinstance(self._call("AppendMessages", request), Refused) and size > 1:
                self._reach("batch stored before")

    # Reading

    @rule(name=SESSION_IDS, user=ACTING, limits=sent.limits, before=st.none() | st.integers(0, 60))
    def window(self, name: str, user: str, limits: dict[str, Any], before: int | None) -> None:
        """Any window."""
        request = pb.GetHistoryRequest(
            session_id=name, user_id=self._user(user, name), before_sequence=before, **limits
        )
        self._call("GetHistory", request)

    @rule(name=SESSION_IDS, limits=sent.limits, most=st.sampled_from((1, 2, 3, 5, 8)))
    def windows(self, name: str, limits: dict[str, Any], most: int) -> None:
        """One window after the other, back to the first."""
        request = pb.GetHistoryRequest(session_id=name, **(limits | {"max_messages": most}))
        for pages in itertools.count():
            response = self._call("GetHistory", request)
            if isinstance(response, Refused) or not response.history.HasField("next_before_sequence"):
                break
            request.before_sequence = response.history.next_before_sequence
            if pages == 3:
                self._reach("window paged back three times")

    @rule(name=SESSION_IDS, user=ACTING, by_id=st.booleans(), number=st.integers(1, 20))
    def get_message(self, name: str, user: str, by_id: bool, number: int) -> None:  # noqa: FBT001 - drawn by name
        """One message, by id or by sequence."""
        key: Any = {"message_id": f"m{number}"} if by_id else {"sequence": number}
        user_id = self._user(user, name)
        self._call("GetMessage", pb.GetMessageRequest(session_id=name, user_id=user_id, **key))

    @rule(
        target=open_lists,
        name=SESSION_IDS,
        user=ACTING,
        filters=st.fixed_dictionaries(
            {"page_size": st.sampled_from((1, 2, 3, 7, 0, 5_000)), "descending": st.booleans()},
            optional={
                "after_sequence": st.integers(0, 30),
                "before_sequence": st.integers(0, 60),
                "roles": st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True).map(sorted),
            },
        ),
        times=st.just([]) | st.lists(st.integers(1, 60), max_size=2),
        all_of_them=st.booleans(),
    )
    def list_messages(
        self,
        name: str,
        user: str,
        filters: dict[str, Any],
        times: list[int],
        all_of_them: bool,  # noqa: FBT001 - drawn by name
    ) -> Any:
        """The first page of a list of messages."""
        if all_of_them:
            filters, times = {key: filters[key] for key in ("page_size", "descending")}, []
        request = pb.ListMessagesRequest(session_id=name, user_id=self._user(user, name), **filters)
        kept = self.both.reference.sessions.get(name)
        for field, number in zip(("create_time_after", "create_time_before"), times, strict=False):
            if kept and kept.messages:
                at = kept.messages[number % len(kept.messages)].create_time
                getattr(request, field).CopyFrom(at)
        opened = self._list("ListMessages", request)
        return self._follow(*opened) if all_of_them and isinstance(opened, tuple) else opened

    @rule(
        target=open_lists,
        filters=st.fixed_dictionaries(
            {"page_size": st.sampled_from((0, 1, 1, 2, 3))},
            optional={
                "user_id": st.sampled_from(sent.USERS),
                "statuses": st.lists(st.integers(1, 3), min_size=1, max_size=2, unique=True).map(sorted),
                "labels": sent.labels,
                "title_contains": st.sampled_from(("h", "TRIP", "%", "_", "\\", "/", "ong l", "!")),
                "show_deleted": st.booleans(),
                "order_by": st.sampled_from((1, 2)),
            },
        ),
        times=st.just([]) | st.lists(SESSION_IDS, max_size=4),
        all_of_them=st.booleans(),
    )
    def list_sessions(
        self,
        filters: dict[str, Any],
        times: list[str],
        all_of_them: bool,  # noqa: FBT001 - drawn by name
    ) -> Any:
        """The first page of a list of sessions."""
        if all_of_them:
            general = ("page_size", "order_by", "show_deleted")
            filters, times = {key: value for key, value in filters.items() if key in general}, []
        request = pb.ListSessionsRequest(**filters)
        fields = ("create_time_before", "active_before", "create_time_after", "active_after")
        for field, name in zip(fields, times, strict=False):
            if name in self.both.reference.sessions:
                kept = self.both.reference.sessions[name]
                at = kept.active_time if field.startswith("active") else kept.shown.create_time
                getattr(request, field).CopyFrom(at)
        return self._list("ListSessions", request)

    @rule(target=open_lists, opened=consumes(open_lists), tamper=ODDS)
    def next_page(self, opened: tuple[str, Any], tamper: int) -> Any:
        """The page after one that was read before, whatever has happened since."""
        method, request = opened
        if tamper == 0:
            request.page_token = "no token"
        elif tamper == 1:
            request.user_id = "ann" if request.user_id == "bob" else "bob"
        elif tamper == 2:
            request.page_size = 100
        return self._follow(method, request)

    # What is refused

    @rule(name=SESSION_IDS, which=st.integers(0, 99))
    def send_nonsense(self, name: str, which: int) -> None:
        """Refused before anything is looked up."""
        method, request = sent.NONSENSE[which % len(sent.NONSENSE)]
        if "session_id" in request.DESCRIPTOR.fields_by_name and not request.session_id:
            request = type(request).FromString(request.SerializeToString())
            request.session_id = name
        self._call(method, request)

    def _remember(self, request: Any, response: Any) -> Any:
        """Keep what was stored under ids of the caller, to be sent again."""
        asked = [request.message] if isinstance(request, pb.AppendMessageRequest) else request.messages
        known = not isinstance(response, Refused) and all(message.message_id for message in asked)
        return request if known and request.session_id else multiple()

    def _list(self, method: str, request: Any) -> Any:
        response = self._call(method, request)
        if isinstance(response, Refused) or not response.next_page_token:
            return multiple()
        following = type(request)()
        following.CopyFrom(request)
        following.page_token = response.next_page_token
        return method, following

    def _follow(self, method: str, request: Any) -> Any:
        self._reach(f"list of {method.removeprefix('List').lower()} in several pages")
        if method == "ListMessages" and request.descending:
            self._reach("list of messages backwards in several pages")
        return self._list(method, request)

    def _user(self, user: str, name: str) -> str:
        if user != "own":
            return user
        kept = self.both.reference.sessions.get(name)
        return kept.shown.user_id if kept else ""

    def _call(self, method: str, request: Any) -> Any:
        response = self.both.call(method, request)
        if isinstance(response, Refused):
            self._reach(f"{response.code} {response.reason}")
            return response
        if "history" in response.DESCRIPTOR.fields_by_name and response.HasField("history"):
            self._reach_window(response.history)
            limits = request if method == "GetHistory" else request.history
            if limits.HasField("max_turns"):
                self._reach(f"turns cut {hpb.HistoryCut.Name(response.history.cut)}")
        if method.startswith("Append"):
            if response.session_created:
                self._reach("session made by an append")
            newest = (response.messages if method == "AppendMessages" else [response.message])[-1]
            if newest.sequence < response.last_sequence:
                self._reach("append stored before")
            shown = self.both.reference.sessions[response.session_id].shown
            if newest.role == mpb.ROLE_USER and newest.content and not shown.title:
                self._reach("no title after a cleared one")
            if response.last_sequence >= 40:
                self._reach("session of forty messages")
        return response

    def _reach_window(self, history: hpb.History) -> None:
        self._reach(f"cut {hpb.HistoryCut.Name(history.cut)}")
        through = history.summary.through_sequence
        run = [m.sequence for m in history.messages if not m.pinned and m.sequence != through]
        if any(message.pinned for message in history.messages):
            self._reach("window with pinned messages")
        if through:
            self._reach(f"window with a summary, cut {hpb.HistoryCut.Name(history.cut)}")
        if history.HasField("next_before_sequence") and history.next_before_sequence not in run:
            self._reach("window without all tool results")

    def _reach(self, what: str) -> None:
        event(what)
        self.reached[what] += 1
