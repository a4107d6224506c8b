"""Values that cannot be sent, and the paths of the fields that they are refused for."""

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
    TextPart,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory import AsyncSessionHistoryClient as Client

SECRET = "zq-the-quick-brown-fox"
SURROGATE = f"{SECRET}\ud800"
NOON = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - the point of it
MESSAGE = Message(role=Role.USER, content=SECRET)
TWICE_ENDED = Session(ttl=timedelta(1), expire_time=datetime(2999, 1, 1, tzinfo=UTC))


class Nowhere(tzinfo):
    """A time zone that does not say where it is."""

    def utcoffset(self, _: datetime | None) -> None:
        """Return nothing."""


def cycle() -> dict[str, Any]:
    """Return an object that holds itself."""
    itself: dict[str, Any] = {SECRET: SECRET}
    itself["itself"] = itself
    return itself


def deep() -> list[Any]:
    """Return lists in lists, deeper than can be written."""
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
NO_TEXT: list[Any] = [SURROGATE, 5, [SECRET], b"\xff"]

# By path, below the message: the field and what cannot be its value.
MESSAGES: dict[str, tuple[str, list[Any]]] = {
    "role": ("role", [SECRET, "USER", "", "unknown", Role.UNKNOWN, None, 1, [Role.USER]]),
    "status": ("status", ["done", "unknown", None, [SECRET]]),
    **{name: (name, NO_TEXT) for name in ("content", "message_id", "name", "model", "turn_id")},
    "payload": ("payload", [SECRET, 5]),
    "pinned": ("pinned", [SECRET]),
    "token_count": ("token_count", NO_INT32),
    "send_time": ("send_time", NO_TIME),
    "metadata": ("metadata", NO_OBJECT),
    "usage.output_tokens": ("usage", [Usage(output_tokens=each) for each in NO_INT32]),
    "tool_calls[1].arguments": (
        "tool_calls",
        [(ToolCall(name="f"), ToolCall(name="f", arguments=each)) for each in NO_TEXT],
    ),
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
    "history_settings.max_messages": (
        "history_settings",
        [HistorySettings(max_messages=each) for each in NO_INT32],
    ),
}

CALLS: list[tuple[str, Callable[[Client], Any]]] = [
    ("session.session_id", lambda c: c.create_session(Session(session_id=SURROGATE))),
    ("session.user_id", lambda c: c.create_session(Session(user_id=SURROGATE))),
    ("session.ttl", lambda c: c.create_session(TWICE_ENDED)),
    ("session.ttl", lambda c: c.update_session("s", ttl=timedelta(1), expire_time=TWICE_ENDED.expire_time)),
    ("create_session.ttl", lambda c: c.append_message("s", MESSAGE, create_session=TWICE_ENDED)),
    ("create_session.ttl", lambda c: c.append_messages("s", [MESSAGE], create_session=TWICE_ENDED)),
    ("messages[1].role", lambda c: c.append_messages("s", [MESSAGE, Message(role="")])),
    ("create_session.ttl", lambda c: c.get_active_session("u", create_session=TWICE_ENDED)),
    ("user_id", lambda c: c.get_active_session(SURROGATE)),
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
    ("replace_after_sequence", lambda c: c.append_messages("s", [MESSAGE], replace_after_sequence=2**63)),
    ("message.role", lambda c: c.compact_history("s", Message(role="nobody"), through_sequence=1)),
    ("message", lambda c: c.compact_history("s", SECRET, through_sequence=1)),
    ("through_sequence", lambda c: c.compact_history("s", MESSAGE, through_sequence=2**63)),
    (
        "expected_compacted_through_sequence",
        lambda c: c.compact_history(
            "s", MESSAGE, through_sequence=1, expected_compacted_through_sequence=SECRET
        ),
    ),
    ("after_sequence", lambda c: c.truncate_history("s", after_sequence=SECRET)),
    ("up_to_sequence", lambda c: c.fork_session("s", up_to_sequence=2**63)),
    ("session.ttl", lambda c: c.fork_session("s", TWICE_ENDED)),
    ("session.ttl", lambda c: c.reset_session("s", TWICE_ENDED)),
    ("previous_status", lambda c: c.reset_session("s", previous_status="over")),
    ("keep_state", lambda c: c.reset_session("s", keep_state=SECRET)),
    (
        "expected_last_sequence",
        lambda c: c.truncate_history("s", after_sequence=0, expected_last_sequence=0.5),
    ),
    (
        "history.token_budget",
        lambda c: c.append_message("s", MESSAGE, history=HistoryOptions(token_budget=2**31)),
    ),
    ("max_messages", lambda c: c.get_history("s", max_messages=2**31)),
    ("token_budget", lambda c: c.get_history("s", token_budget=-(2**31) - 1)),
    ("before_sequence", lambda c: c.get_history("s", before_sequence=2**63)),
    ("include_pinned", lambda c: c.get_history("s", include_pinned=SECRET)),
    ("session_id", lambda c: c.get_session(5)),
    ("session_id", lambda c: c.delete_session(SURROGATE)),
    ("purge", lambda c: c.delete_session("s", purge=SECRET)),
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
    *(
        (name, lambda c, name=name: c.list_sessions_page(**{name: NOON}))
        for name in ("create_time_after", "create_time_before", "active_after", "active_before")
    ),
]
NOBODY: dict[str, Callable[[Client], Any]] = {
    "get_session": lambda c: c.get_session("s", user_id=""),
    "update_session": lambda c: c.update_session("s", user_id="", title="t"),
    "get_active_session": lambda c: c.get_active_session(""),
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
    "truncate_history": lambda c: c.truncate_history("s", after_sequence=0, user_id=""),
}
