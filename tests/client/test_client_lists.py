"""Lists, their pages and filters; and the user for whom a call is made."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest
from client_samples import fresh_id

from sessionhistory import Message, MessageOrder, Role, Session, SessionFields, SessionOrder, SessionStatus
from sessionhistory.errors import SessionNotFoundError
from sessionhistory.types import MessageFilters, SessionFilters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory import AsyncSessionHistoryClient as Client

MOMENT = timedelta(microseconds=1)

# By the times at which the middle one of three messages or sessions was created, or last active.
MESSAGE_FILTERS: dict[str, tuple[Callable[[Message], Any], list[str]]] = {
    "user_id": (lambda _: "ada", ["one", "two", "three"]),
    "order_by": (lambda _: MessageOrder.SEQUENCE_DESC, ["three", "two", "one"]),
    "after_sequence": (lambda _: 1, ["two", "three"]),
    "before_sequence": (lambda _: 2, ["one"]),
    "roles": (lambda _: {Role.ASSISTANT, Role.TOOL}, ["two"]),
    "create_time_after": (lambda middle: middle.create_time - MOMENT, ["two", "three"]),
    "create_time_before": (lambda middle: middle.create_time, ["one"]),
}
SESSION_FILTERS: dict[str, tuple[Callable[[Session], Any], list[str]]] = {
    "user_id": (lambda middle: middle.user_id, ["one", "three", "two"]),
    "application_id": (lambda middle: middle.application_id, ["two"]),
    "statuses": (lambda _: [SessionStatus.COMPLETED, SessionStatus.ABANDONED], ["two"]),
    "labels": (lambda _: {"app": "travel"}, ["three"]),
    "title_contains": (lambda _: "WO", ["two"]),
    "create_time_after": (lambda middle: middle.create_time - MOMENT, ["three", "two"]),
    "create_time_before": (lambda middle: middle.create_time, ["one"]),
    "last_activity_time_after": (lambda middle: middle.create_time, ["one", "three"]),
    "last_activity_time_before": (lambda middle: middle.create_time + MOMENT, ["two"]),
    "show_deleted": (lambda _: True, ["one", "three", "two", "gone"]),
    "order_by": (lambda _: SessionOrder.CREATE_TIME_ASC, ["one", "two", "three"]),
}


@pytest.mark.parametrize("name", get_type_hints(MessageFilters))
async def test_messages_by(client: Client, name: str) -> None:
    """Each filter of messages, and the direction, reaches the service."""
    session_id = fresh_id()
    roles = {"one": Role.USER, "two": Role.ASSISTANT, "three": Role.USER}
    for content, role in roles.items():
        message = Message(role=role, content=content)
        await client.append_message(session_id, message, user_id="ada", new_session=SessionFields())
    value_of, expected = MESSAGE_FILTERS[name]
    filters: Any = {name: value_of(await client.get_message(session_id, sequence=2))}
    found = [message.content async for message in client.list_messages(session_id, page_size=1, **filters)]
    assert found == expected
    page = await client.list_messages_page(session_id, **filters)
    assert ([message.content for message in page.messages], page.next_page_token) == (expected, "")


@pytest.mark.parametrize("name", get_type_hints(SessionFilters))
async def test_sessions_by(client: Client, name: str) -> None:
    """Each filter of sessions, and the order, reaches the service."""
    user_id = fresh_id()
    gone = await _create(client, user_id, title="gone")
    await client.delete_session(gone.session_id)
    one = await _create(client, user_id, title="one")
    middle = await _create(
        client, user_id, title="two", application_id="shop", status=SessionStatus.ABANDONED
    )
    await _create(client, user_id, title="three", labels={"app": "travel"})
    await client.append_message(one.session_id, Message(role=Role.USER))
    value_of, expected = SESSION_FILTERS[name]
    filters: Any = {"user_id": user_id} | {name: value_of(middle)}
    assert [session.title async for session in client.list_sessions(page_size=1, **filters)] == expected
    page = await client.list_sessions_page(**filters)
    assert ([session.title for session in page.sessions], page.next_page_token) == (expected, "")


ORDERS = {
    SessionOrder.LAST_ACTIVITY_TIME_DESC: ["one", "three", "two"],
    SessionOrder.CREATE_TIME_DESC: ["three", "two", "one"],
    SessionOrder.LAST_ACTIVITY_TIME_ASC: ["two", "three", "one"],
    SessionOrder.CREATE_TIME_ASC: ["one", "two", "three"],
}


@pytest.mark.parametrize("order_by", SessionOrder)
async def test_sessions_in_order(client: Client, order_by: SessionOrder) -> None:
    """The sessions come in the named order, across pages too."""
    user_id = fresh_id()
    one, _, _ = [await _create(client, user_id, title=title) for title in ("one", "two", "three")]
    await client.append_message(one.session_id, Message(role=Role.USER))
    listed = client.list_sessions(user_id=user_id, order_by=order_by, page_size=1)
    assert [session.title async for session in listed] == ORDERS[order_by]


async def _create(client: Client, user_id: str, **fields: Any) -> Session:
    return (await client.create_session(session=SessionFields(**fields), user_id=user_id)).session


async def test_pages(client: Client) -> None:
    """A page's token leads to the next page."""
    session_id = fresh_id()
    talk = [Message(role=Role.USER, content=str(i)) for i in range(3)]
    stored = (await client.append_messages(session_id, talk, new_session=SessionFields())).messages
    first = await client.list_messages_page(session_id, page_size=2)
    assert first.messages == stored[:2]
    last = await client.list_messages_page(session_id, page_size=2, page_token=first.next_page_token)
    assert (last.messages, last.next_page_token) == (stored[2:], "")
    user_id = fresh_id()
    made = [(await client.create_session(user_id=user_id)).session for _ in range(3)]
    head = await client.list_sessions_page(user_id=user_id, page_size=2)
    tail = await client.list_sessions_page(user_id=user_id, page_size=2, page_token=head.next_page_token)
    assert (*head.sessions, *tail.sessions) == tuple(reversed(made))


OF_A_USER: dict[str, Callable[[Client, str, str], Awaitable[Any]]] = {
    "get_session": lambda c, s, user: c.get_session(s, user_id=user),
    "update_session": lambda c, s, user: c.update_session(s, user_id=user, title="t"),
    "undelete_session": lambda c, s, user: c.undelete_session(s, user_id=user),
    "append_message": lambda c, s, user: c.append_message(s, Message(role=Role.USER), user_id=user),
    "append_messages": lambda c, s, user: c.append_messages(s, [Message(role=Role.USER)], user_id=user),
    "get_message": lambda c, s, user: c.get_message(s, sequence=1, user_id=user),
    "get_history": lambda c, s, user: c.get_history(s, user_id=user),
    "list_messages_page": lambda c, s, user: c.list_messages_page(s, user_id=user),
    "recount_tokens": lambda c, s, user: c.recount_tokens(s, user_id=user),
    "delete_session": lambda c, s, user: c.delete_session(s, user_id=user),
}


@pytest.mark.parametrize("method", OF_A_USER)
async def test_whom_a_call_acts_for(client: Client, method: str) -> None:
    """Another user's session is not found; the user's own is."""
    session_id = fresh_id()
    await client.append_message(
        session_id, Message(role=Role.USER), user_id="ada", new_session=SessionFields()
    )
    if method == "undelete_session":
        await client.delete_session(session_id)
    with pytest.raises(SessionNotFoundError):
        await OF_A_USER[method](client, session_id, "bob")
    assert await OF_A_USER[method](client, session_id, "ada")
