"""A page token works only for the list that returned it, and only unchanged."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from rpc_support import append, call, create, said

from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

LISTS = ("ListSessions", "ListMessages")
TIME = Timestamp(seconds=1)
GARBAGE = ("x", "=", "====", "0", "\0", "é", "😀", " ", "-_", "a" * 10_000, "AAAA" * 12, "AAAA" * 6 + "AAA=")

# The arguments of the token's page, and a change of arguments that makes another list.
SESSION_CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"user_id": "u"}),
    ({"user_id": "u"}, {"user_id": ""}),
    ({}, {"statuses": [1]}),
    ({"statuses": [1]}, {"statuses": [1, 2]}),
    ({}, {"labels": {"k": "v"}}),
    ({"labels": {"k": "v"}}, {"labels": {"k": "v", "l": "v"}}),
    ({}, {"title_contains": "t"}),
    ({}, {"create_time_after": TIME}),
    ({"create_time_after": TIME}, {"create_time_after": Timestamp(seconds=2)}),
    ({"create_time_after": TIME}, {"create_time_after": None, "last_activity_time_after": TIME}),
    ({}, {"create_time_before": Timestamp(seconds=2**36)}),
    ({}, {"last_activity_time_after": TIME}),
    ({}, {"last_activity_time_before": Timestamp(seconds=2**36)}),
    ({}, {"show_deleted": True}),
    ({}, {"order_by": 2}),
    ({"order_by": 2}, {"order_by": 1}),
]
MESSAGE_CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"session_id": "other"}),
    ({}, {"user_id": "u"}),
    ({"user_id": "u"}, {"user_id": ""}),
    ({}, {"order_by": 2}),
    ({"order_by": 2}, {"order_by": 1}),
    ({}, {"after_sequence": 1}),
    ({}, {"before_sequence": 9}),
    ({"before_sequence": 9}, {"before_sequence": 8}),
    ({}, {"roles": [3]}),
    ({}, {"create_time_after": TIME}),
    ({}, {"create_time_before": Timestamp(seconds=2**36)}),
]


@pytest_asyncio.fixture
async def full(service: Service) -> Service:
    """A service with three sessions, and five messages in two of them."""
    fields = {"user_id": "u", "title": "t", "labels": {"k": "v", "l": "v"}}
    for session_id in ("s", "other", "third"):
        await create(service, session_id, **fields)
    for session_id in ("s", "other"):
        await append(service, session_id, *[said()] * 5)
    return service


async def _token(service: Service, method: str, **fields: Any) -> str:
    page = await call(service, method, "s", page_size=1, **fields)
    token: str = page.next_page_token
    assert token
    return token


async def _refused(service: Service, method: str, token: str, **fields: Any) -> None:
    with fails("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN") as failure:
        await call(service, method, **{"session_id": "s"} | fields, page_token=token)
    assert list(failure.violations) == ["page_token"]


async def test_a_token_is_good_for_its_own_sessions_only(full: Service) -> None:
    """ListSessions refuses a token if any argument but page_size differs."""
    for fields, change in SESSION_CHANGES:
        token = await _token(full, "ListSessions", **fields)
        assert len((await call(full, "ListSessions", "", **fields, page_token=token)).sessions) == 2
        await _refused(full, "ListSessions", token, **fields | change)


async def test_a_token_is_good_for_its_own_messages_only(full: Service) -> None:
    """ListMessages refuses a token if any argument but page_size differs."""
    for fields, change in MESSAGE_CHANGES:
        token = await _token(full, "ListMessages", **fields)
        assert len((await call(full, "ListMessages", "s", **fields, page_token=token)).messages) == 4
        await _refused(full, "ListMessages", token, **fields | change)


async def test_a_token_is_good_for_its_own_method_only(full: Service) -> None:
    """Neither list accepts a token of the other one."""
    for method, other in (LISTS, LISTS[::-1]):
        await _refused(full, method, await _token(full, other))


@pytest.mark.parametrize("method", LISTS)
async def test_arguments_that_mean_the_same_are_the_same(full: Service, method: str) -> None:
    """The order and the repetition of a set's elements make no difference to a token."""
    lists: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "ListSessions": ({"statuses": [1, 2]}, {"statuses": [2, 1, 1]}),
        "ListMessages": ({"roles": [3, 4]}, {"roles": [4, 3, 4]}),
    }
    first, second = lists[method]
    await call(full, method, "s", **second, page_token=await _token(full, method, **first))


@pytest.mark.parametrize("method", LISTS)
async def test_garbage_is_no_token(shared: Service, method: str) -> None:
    """Text that is not a token is INVALID_ARGUMENT, INVALID_PAGE_TOKEN."""
    for token in GARBAGE:
        await _refused(shared, method, token)


@pytest.mark.parametrize("method", LISTS)
async def test_a_damaged_token_is_refused(full: Service, method: str) -> None:
    """A token that is cut, longer, or changed by one bit or letter is refused."""
    token = await _token(full, method)
    data = base64.urlsafe_b64decode(token)
    damaged = {token[:length] for length in range(1, len(token))}
    damaged |= {token + more for more in ("=", "A", "AAAA", "\n", " ", "!", token)} | {
        " " + token,
        "!" + token,
    }
    damaged |= {token[:place] + new + token[place + 1 :] for place in range(len(token)) for new in "A9_!"} - {
        token
    }
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.add(base64.urlsafe_b64encode(flipped).decode())
    for bad in damaged:
        await _refused(full, method, bad)
    await call(full, method, "s", page_token=token)


async def test_another_user_cannot_use_a_token(full: Service) -> None:
    """Another user's token shows nothing: the session is NOT_FOUND, the list of sessions refuses it."""
    token = await _token(full, "ListMessages", user_id="u")
    for user_id in ("v", ""):
        await _refused(full, "ListMessages", token, user_id=user_id)
    await call(full, "DeleteSession", "s", purge=True)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await call(full, "ListMessages", "s", "u", page_token=token)


async def test_tokens_outlive_the_server(
    serve: Callable[..., Awaitable[Service]], full: Service, database_url: str
) -> None:
    """A token of one server works on another one."""
    other = await serve(database_url)
    for method in LISTS:
        await call(other, method, "s", page_token=await _token(full, method))


async def test_a_session_made_anew_takes_no_harm_of_an_old_token(full: Service) -> None:
    """A token is a position in a list: for a session that was created again, the list goes on there."""
    token = await _token(full, "ListMessages")
    await call(full, "DeleteSession", "s", purge=True)
    await append(full, "s", said("1"), said("2"), new_session=spb.SessionFields())
    page = await call(full, "ListMessages", "s", page_token=token)
    assert [message.sequence for message in page.messages] == [2]
