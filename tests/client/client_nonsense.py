"""Values that the client refuses, and the paths of their fields in the error."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from sessionhistory import (
    HistoryOptions,
    HistorySettings,
    JsonPart,
    MediaPart,
    Message,
    Role,
    Session,
    SessionFields,
    TextPart,
    ToolCall,
    UnansweredCalls,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory import AsyncSessionHistoryClient as Client

SECRET = "zq-the-quick-brown-fox"
SURROGATE = f"{SECRET}\ud800"
NOON = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - the point of it
MESSAGE = Message(role=Role.USER, content=SECRET)
TWICE_ENDED = SessionFields(ttl=timedelta(1), expire_time=datetime(2999, 1, 1, tzinfo=UTC))
STORED = Session(session_id="s", create_time=NOON, update_time=NOON, last_activity_time=NOON, title=SECRET)


class Nowhere(tzinfo):
    """A time zone without an offset."""

    def utcoffset(self, _: datetime | None) -> None:
        """Return None."""


def cycle() -> dict[str, Any]:
    """Return an object that contains itself."""
    itself: dict[str, Any] = {SECRET: SECRET}
    itself["itself"] = itself
    return itself


def deep() -> list[Any]:
    """Return nested lists that are too deep to serialize."""
    lists: list[Any] = [SECRET]
    for _ in range(100_000):
        lists = [lists]
    return lists


UNWRITABLE: list[Any] = [
    {SECRET: float("nan")},
    {SECRET: float("-inf")},
    {SECRET: {SECRET}},
    {SECRET: SECRET.encode()},
    {(SECRET,): 1},
    {SECRET: 10**5_000},
    {SECRET: NOON},
    {"a": SURROGATE},
    {SURROGATE: "a"},
    {SECRET: deep()},
    cycle(),
]
NO_OBJECT: list[Any] = [SECRET, [SECRET], [(SECRET, SECRET)], 5, {SECRET}, SECRET.encode(), *UNWRITABLE]
NO_TIME: list[Any] = [
    NOON,
    NOON.replace(tzinfo=Nowhere()),
    time(12, tzinfo=UTC),
    date(2026, 1, 1),
    NOON.isoformat(),
    1_700_000_000,
]
NO_INT32: list[Any] = [2**31, -(2**31) - 1, 1.5, SECRET]
NO_UNANSWERED_CALLS: list[Any] = [SECRET, "KEEP", "", UnansweredCalls.UNKNOWN, 1, True, [SECRET]]
NO_TEXT: list[Any] = [SURROGATE, 5, [SECRET], b"\xff"]

# By path below the message: the field, and invalid values of it.
MESSAGES: dict[str, tuple[str, list[Any]]] = {
    "role": ("role", [SECRET, "USER", "", "unknown", Role.UNKNOWN, None, 1, [Role.USER]]),
    "status": ("status", ["done", "unknown", None, [SECRET]]),
    **{name: (name, NO_TEXT) for name in ("content", "message_id", "name", "model", "turn_id")},
    "payload": ("payload", [SECRET, 5]),
    "pinned": ("pinned", [SECRET]),
    "token_count": ("token_count", NO_INT32),
    "send_time": ("send_time", NO_TIME),
    "metadata": ("metadata", NO_OBJECT),
    "usage": ("usage", [{"output_tokens": 1}, HistorySettings(), SECRET]),
    "usage.output_tokens": ("usage", [Usage(output_tokens=each) for each in NO_INT32]),
    "tool_calls": ("tool_calls", [ToolCall(name="f"), None, 5]),
    "tool_calls[0]": ("tool_calls", [[{"name": "f", "arguments": SECRET}], {"name": "f"}, [None], SECRET]),
    "tool_calls[1].arguments": (
        "tool_calls",
        [(ToolCall(name="f"), ToolCall(name="f", arguments=each)) for each in NO_TEXT],
    ),
    "parts": ("parts", [TextPart(""), None, 5]),
    "parts[0]": ("parts", [[each] for each in (SECRET, {"text": SECRET}, None)]),
    "parts[1].text": ("parts", [[TextPart(""), TextPart(each)] for each in NO_TEXT]),
    "parts[0].json": ("parts", [[JsonPart(each)] for each in UNWRITABLE]),
    "parts[0].media": ("parts", [[MediaPart(uri=SECRET, data=SECRET.encode())]]),
    "parts[0].media.uri": ("parts", [[MediaPart(uri=each)] for each in NO_TEXT]),
    "parts[0].media.data": ("parts", [[MediaPart(data=each)] for each in (SECRET, 5)]),
    "parts[0].media.mime_type": ("parts", [[MediaPart(mime_type=each, uri="x")] for each in NO_TEXT]),
}
SESSIONS: dict[str, tuple[str, list[Any]]] = {
    **{name: (name, NO_TEXT) for name in ("title", "model")},
    "status": ("status", ["open", "ACTIVE", [SECRET]]),
    "labels": ("labels", [{"a": SURROGATE}, {"a": 1}, {1: "a"}, 5, SECRET]),
    "metadata": ("metadata", NO_OBJECT),
    "state": ("state", NO_OBJECT),
    "expire_time": ("expire_time", NO_TIME),
    "ttl": ("ttl", [60, 0.5, SECRET, NOON]),
    "history_settings": ("history_settings", [{"max_messages": 1}, HistoryOptions(), SECRET]),
    "history_settings.max_messages": (
        "history_settings",
        [HistorySettings(max_messages=each) for each in NO_INT32],
    ),
    "history_settings.step_tokens": (
        "history_settings",
        [HistorySettings(step_tokens=each) for each in NO_INT32],
    ),
    "history_settings.step_messages": (
        "history_settings",
        [HistorySettings(step_messages=each) for each in NO_INT32],
    ),
    "history_settings.unanswered_calls": (
        "history_settings",
        [HistorySettings(unanswered_calls=each) for each in NO_UNANSWERED_CALLS],
    ),
    "history_settings.whole_responses": ("history_settings", [HistorySettings(whole_responses=SECRET)]),  # type: ignore[arg-type]
}
# By name: invalid values of the options of a history, which are also arguments of ``get_history``.
HISTORY_OPTIONS: dict[str, list[Any]] = {
    **dict.fromkeys(("max_messages", "token_budget", "max_turns"), NO_INT32),
    **dict.fromkeys(("step_tokens", "step_messages"), NO_INT32),
    "include_pinned": [SECRET],
    "unanswered_calls": NO_UNANSWERED_CALLS,
    "whole_responses": [SECRET],
}

CALLS: list[tuple[str, Callable[[Client], Any]]] = [
    ("session_id", lambda c: c.create_session(SURROGATE)),
    ("session_id", lambda c: c.create_session(SessionFields(title=SECRET))),
    ("user_id", lambda c: c.create_session(user_id=SURROGATE)),
    ("session.ttl", lambda c: c.create_session(session=TWICE_ENDED)),
    ("session.ttl", lambda c: c.update_session("s", ttl=timedelta(1), expire_time=TWICE_ENDED.expire_time)),
    ("new_session.ttl", lambda c: c.append_message("s", MESSAGE, new_session=TWICE_ENDED)),
    ("new_session.ttl", lambda c: c.append_messages("s", [MESSAGE], new_session=TWICE_ENDED)),
    ("messages", lambda c: c.append_messages("s", MESSAGE)),
    ("messages[0]", lambda c: c.append_messages("s", [{"role": "user", "content": SECRET}])),
    ("history", lambda c: c.append_message("s", MESSAGE, history={"max_messages": 1})),
    ("new_session", lambda c: c.append_message("s", MESSAGE, new_session={"title": SECRET})),
    ("session", lambda c: c.create_session("s", {"title": SECRET})),
    ("session.history_settings", lambda c: c.update_session("s", history_settings={"max_messages": 1})),
    ("messages[1].role", lambda c: c.append_messages("s", [MESSAGE, Message(role="")])),
    ("new_session.ttl", lambda c: c.ensure_active_session("u", TWICE_ENDED)),
    ("user_id", lambda c: c.ensure_active_session(SURROGATE)),
    ("new_session_id", lambda c: c.ensure_active_session("u", new_session_id=SURROGATE)),
    ("user_id", lambda c: c.get_active_session(SURROGATE)),
    ("application_id", lambda c: c.get_active_session("u", application_id=SURROGATE)),
    ("application_id", lambda c: c.get_active_session("u", application_id="")),
    ("application_id", lambda c: c.list_sessions_page(application_id=5)),
    ("application_id", lambda c: c.list_sessions_page(application_id="")),
    *(("patch", lambda c, each=each: c.update_state("s", each)) for each in NO_OBJECT),
    *(
        ("state_patch", lambda c, each=each: c.append_message("s", MESSAGE, state_patch=each))
        for each in NO_OBJECT
    ),
    ("state_patch", lambda c: c.append_messages("s", [MESSAGE], state_patch=[SECRET])),
    ("expected_state_version", lambda c: c.update_state("s", {}, expected_state_version=2**63)),
    ("key", lambda c: c.get_message("s")),
    ("key", lambda c: c.get_message("s", message_id="m", sequence=1)),
    ("sequence", lambda c: c.get_message("s", sequence=2**63)),
    ("sequence", lambda c: c.get_message("s", sequence=-(2**63) - 1)),
    ("message_id", lambda c: c.get_message("s", message_id=SURROGATE)),
    ("expected_last_sequence", lambda c: c.append_message("s", MESSAGE, expected_last_sequence=2**63)),
    ("expected_last_sequence", lambda c: c.append_messages("s", [MESSAGE], expected_last_sequence=0.5)),
    ("keep_through_sequence", lambda c: c.append_messages("s", [MESSAGE], keep_through_sequence=2**63)),
    ("message.role", lambda c: c.compact_history("s", Message(role="nobody"), through_sequence=1)),
    ("message", lambda c: c.compact_history("s", SECRET, through_sequence=1)),
    ("through_sequence", lambda c: c.compact_history("s", MESSAGE, through_sequence=2**63)),
    (
        "expected_compacted_through_sequence",
        lambda c: c.compact_history(
            "s", MESSAGE, through_sequence=1, expected_compacted_through_sequence=SECRET
        ),
    ),
    ("keep_through_sequence", lambda c: c.truncate_messages("s", keep_through_sequence=SECRET)),
    ("through_sequence", lambda c: c.fork_session("s", through_sequence=2**63)),
    ("new_session.ttl", lambda c: c.fork_session("s", TWICE_ENDED)),
    ("new_session_id", lambda c: c.fork_session("s", new_session_id=SURROGATE)),
    ("new_user_id", lambda c: c.fork_session("s", new_user_id=SURROGATE)),
    ("new_user_id", lambda c: c.fork_session("s", new_user_id="")),
    ("new_session.ttl", lambda c: c.reset_session("s", TWICE_ENDED)),
    ("new_session_id", lambda c: c.reset_session("s", new_session_id=5)),
    ("new_user_id", lambda c: c.reset_session("s", new_user_id="")),
    ("previous_status", lambda c: c.reset_session("s", previous_status="over")),
    ("keep_state", lambda c: c.reset_session("s", keep_state=SECRET)),
    (
        "expected_last_sequence",
        lambda c: c.truncate_messages("s", keep_through_sequence=0, expected_last_sequence=0.5),
    ),
    ("before_sequence", lambda c: c.get_history("s", before_sequence=2**63)),
    ("session_id", lambda c: c.get_session(5)),
    ("session_id", lambda c: c.delete_session(SURROGATE)),
    ("purge", lambda c: c.delete_session("s", purge=SECRET)),
    ("roles", lambda c: c.list_messages_page("s", roles=5)),
    ("statuses", lambda c: c.list_sessions_page(statuses=5)),
    ("roles[1]", lambda c: c.list_messages_page("s", roles=["user", "everyone"])),
    ("roles[0]", lambda c: c.list_messages_page("s", roles="user")),
    ("after_sequence", lambda c: c.list_messages_page("s", after_sequence=2**63)),
    ("page_size", lambda c: c.list_messages_page("s", page_size=2**31)),
    ("page_token", lambda c: c.list_messages_page("s", page_token=SURROGATE)),
    ("create_time_after", lambda c: c.list_messages_page("s", create_time_after=NOON)),
    ("create_time_before", lambda c: c.list_messages_page("s", create_time_before=NOON)),
    ("statuses[0]", lambda c: c.list_sessions_page(statuses=["open"])),
    ("labels", lambda c: c.list_sessions_page(labels={"a": 1})),
    ("title_contains", lambda c: c.list_sessions_page(title_contains=SURROGATE)),
    ("order_by", lambda c: c.list_sessions_page(order_by="random")),
    ("order_by", lambda c: c.list_messages_page("s", order_by="random")),
    ("order_by", lambda c: c.list_messages_page("s", order_by=True)),
    *(
        (name, lambda c, name=name: c.list_sessions_page(**{name: NOON}))
        for name in (
            *("create_time_after", "create_time_before"),
            *("last_activity_time_after", "last_activity_time_before"),
        )
    ),
]
STORED_SESSIONS: list[tuple[str, Callable[[Client], Any]]] = [
    ("session", lambda c: c.create_session("s", STORED)),
    ("new_session", lambda c: c.ensure_active_session("u", STORED)),
    ("new_session", lambda c: c.append_message("s", MESSAGE, new_session=STORED)),
    ("new_session", lambda c: c.append_messages("s", [MESSAGE], new_session=STORED)),
    ("header.new_session", lambda c: c.append_message_stream("s", new_session=STORED)),
    ("new_session", lambda c: c.fork_session("s", STORED)),
    ("new_session", lambda c: c.reset_session("s", STORED)),
]
NOBODY: dict[str, Callable[[Client], Any]] = {
    "create_session": lambda c: c.create_session("s", user_id=""),
    "get_session": lambda c: c.get_session("s", user_id=""),
    "update_session": lambda c: c.update_session("s", user_id="", title="t"),
    "get_active_session": lambda c: c.get_active_session(""),
    "ensure_active_session": lambda c: c.ensure_active_session(""),
    "update_state": lambda c: c.update_state("s", {}, user_id=""),
    "list_sessions_page": lambda c: c.list_sessions_page(user_id=""),
    "delete_session": lambda c: c.delete_session("s", user_id=""),
    "undelete_session": lambda c: c.undelete_session("s", user_id=""),
    "append_message": lambda c: c.append_message("s", MESSAGE, user_id=""),
    "append_messages": lambda c: c.append_messages("s", [MESSAGE], user_id=""),
    "get_message": lambda c: c.get_message("s", sequence=1, user_id=""),
    "get_history": lambda c: c.get_history("s", user_id=""),
    "list_messages_page": lambda c: c.list_messages_page("s", user_id=""),
    "recount_tokens": lambda c: c.recount_tokens("s", user_id=""),
    "fork_session": lambda c: c.fork_session("s", user_id=""),
    "reset_session": lambda c: c.reset_session("s", user_id=""),
    "compact_history": lambda c: c.compact_history("s", MESSAGE, through_sequence=1, user_id=""),
    "truncate_messages": lambda c: c.truncate_messages("s", keep_through_sequence=0, user_id=""),
}
