"""Rules that read sessions and messages: a part of the state machine of ``conversations``."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, multiple, rule

from sessionhistory.v1 import session_history_service_pb2 as pb
from support import strategies as sent
from support.conversations_edits import ACTING, ODDS, SESSION_IDS
from support.reference_rules import Refused

if TYPE_CHECKING:
    from support.lockstep import Lockstep


class Reading:
    """Read windows, messages, and lists page by page."""

    open_lists = Bundle("open_lists")

    both: Lockstep
    _call: Any
    _reach: Any
    _user: Any

    @rule(name=SESSION_IDS, user=ACTING, limits=sent.limits, before=st.none() | st.integers(0, 60))
    def window(self, name: str, user: str, limits: dict[str, Any], before: int | None) -> None:
        """Read one window with any limits."""
        request = pb.GetHistoryRequest(
            session_id=name, user_id=self._user(user, name), before_sequence=before, **limits
        )
        self._call("GetHistory", request)

    @rule(name=SESSION_IDS, limits=sent.limits, most=st.sampled_from((1, 2, 3, 5, 8)))
    def windows(self, name: str, limits: dict[str, Any], most: int) -> None:
        """Read windows one after the other, back to the first."""
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
        """Read one message, by id or by sequence."""
        key: Any = {"message_id": f"wamid={number}"} if by_id else {"sequence": number}
        user_id = self._user(user, name)
        self._call("GetMessage", pb.GetMessageRequest(session_id=name, user_id=user_id, **key))

    @rule(
        target=open_lists,
        name=SESSION_IDS,
        user=ACTING,
        filters=st.fixed_dictionaries(
            {"page_size": st.sampled_from((1, 2, 3, 7, 0, 5_000)), "order_by": st.sampled_from((0, 1, 2))},
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
        """Read the first page of a list of messages."""
        if all_of_them:
            filters, times = {key: filters[key] for key in ("page_size", "order_by")}, []
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
                "application_id": st.sampled_from(sent.APPLICATIONS),
                "statuses": st.lists(st.integers(1, 3), min_size=1, max_size=2, unique=True).map(sorted),
                "labels": sent.labels,
                "title_contains": st.sampled_from(("h", "TRIP", "%", "_", "\\", "/", "ong l", "!")),
                "show_deleted": st.booleans(),
                "order_by": st.sampled_from(pb.SessionOrder.values()),
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
        """Read the first page of a list of sessions."""
        if all_of_them:
            general = ("page_size", "order_by", "show_deleted")
            filters, times = {key: value for key, value in filters.items() if key in general}, []
        request = pb.ListSessionsRequest(**filters)
        fields = (
            "create_time_before",
            "last_activity_time_before",
            "create_time_after",
            "last_activity_time_after",
        )
        for field, name in zip(fields, times, strict=False):
            if name in self.both.reference.sessions:
                kept = self.both.reference.sessions[name]
                at = getattr(kept.shown, field.removesuffix("_before").removesuffix("_after"))
                getattr(request, field).CopyFrom(at)
        return self._list("ListSessions", request)

    @rule(target=open_lists, opened=consumes(open_lists), tamper=ODDS)
    def next_page(self, opened: tuple[str, Any], tamper: int) -> Any:
        """Read the page after an earlier one; other calls may have come in between."""
        method, request = opened
        if tamper == 0:
            request.page_token = "no token"
        elif tamper == 1:
            request.user_id = "ann" if request.user_id == "bob" else "bob"
        elif tamper == 2:
            request.page_size = 100
        return self._follow(method, request)

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
        if method == "ListMessages" and request.order_by == pb.MESSAGE_ORDER_SEQUENCE_DESC:
            self._reach("list of messages backwards in several pages")
        if method == "ListSessions" and pb.SessionOrder.Name(request.order_by).endswith("_ASC"):
            self._reach("list of sessions earliest first in several pages")
        return self._list(method, request)
