"""A page token works only for the list that returned it, and only unchanged."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from rpc_support import append, call, create, fresh_id, said

from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server.model.filters import MessageFilter, SessionFilter
from sessionhistory_server.store.session_ref import SessionRef
from sessionhistory_server.usecases.paging import PageTokens
from sessionhistory_server.usecases.signing import Signing
from support.callers import caller
from support.databases import execute
from support.errors import fails
from support.keys import holder

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


@pytest.mark.parametrize("method", LISTS)
async def test_a_token_is_its_callers(guarded: Service, method: str) -> None:
    """Another tenant's caller, and one that is bound to a user or an application, cannot use it."""
    mine = await holder(guarded, tenant=(tenant := fresh_id()))
    for session_id in ("s", "t"):
        await append(mine, session_id, *[said()] * 5, new_session=spb.SessionFields(application_id="app"))
    token = await _token(mine, method)
    others: list[dict[str, Any]] = [
        {"tenant": fresh_id()},
        {"tenant": tenant, "user_id": "u"},
        {"tenant": tenant, "application_id": "app"},
    ]
    for fields in others:
        await _refused(await holder(guarded, **fields), method, token)
    await call(await holder(guarded, tenant=tenant), method, "s", page_token=token)


@pytest.mark.parametrize("method", LISTS)
async def test_a_token_cannot_be_forged(
    full: Service, database_url: str, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """A caller that knows the form of tokens, but not the key, makes none that is accepted."""
    token = await _token(full, method)
    rows = execute(database_url, "select key_number, secret from signing_keys")
    ((number, secret),) = rows
    assert len(bytes(secret)) == 32
    signing = Signing(full.app._database)  # noqa: SLF001 - as a server does
    tokens = PageTokens(signing)
    layout, position = ("!q16s", (1, bytes(16))) if method == "ListSessions" else ("!q", (1,))
    wanted: Any = SessionFilter(labels={}) if method == "ListSessions" else None
    arguments = wanted or (SessionRef.of(caller(), "s"), MessageFilter())
    made = await tokens.encode(caller(), arguments, layout, position)
    await call(full, method, "s", page_token=made)
    for guess in (bytes(32), b"", bytes(secret)[:31]):
        monkeypatch.setattr(signing, "_keys", {number: guess})
        await _refused(full, method, await tokens.encode(caller(), arguments, layout, position))
    for unknown in (0, number + 1):
        monkeypatch.setattr(signing, "_keys", {unknown: bytes(secret)})
        await _refused(full, method, await tokens.encode(caller(), arguments, layout, position))
    await call(full, method, "s", page_token=token)


@pytest.mark.parametrize("method", LISTS)
async def test_the_key_is_replaced_and_its_tokens_stay_valid(
    serve: Callable[..., Awaitable[Service]], full: Service, database_url: str, method: str
) -> None:
    """A key signs for 30 days. Its tokens are valid until the key after it is replaced, too."""
    numbers, tokens = [], [await _token(full, method)]
    for _ in range(2):
        execute(database_url, "update signing_keys set create_time = now() - interval '31 days'")
        newest = await serve(database_url)
        tokens.append(await _token(newest, method))
        numbers.append(execute(database_url, "select key_number from signing_keys order by 1"))
    assert numbers == [[(1,), (2,)], [(2,), (3,)]]
    for service in (newest, full):  # the second one has not read the keys since
        await call(service, method, "s", page_token=tokens[1])
        await call(service, method, "s", page_token=tokens[2])
    await _refused(newest, method, tokens[0])


async def test_servers_that_start_together_make_one_key(
    serve: Callable[..., Awaitable[Service]], database_url: str
) -> None:
    """The first token of each server waits for the key that one of them makes."""
    services = [await serve(database_url) for _ in range(4)]
    for session_id in ("a", "b"):
        await create(services[0], session_id)
    tokens = await asyncio.gather(*[_token(service, "ListSessions") for service in services])
    assert execute(database_url, "select count(*) from signing_keys") == [(1,)]
    for service, token in zip(services, reversed(tokens), strict=True):
        await call(service, "ListSessions", "", page_token=token)


async def test_a_session_made_anew_takes_no_harm_of_an_old_token(full: Service) -> None:
    """A token is a position in a list: for a session that was created again, the list goes on there."""
    token = await _token(full, "ListMessages")
    await call(full, "DeleteSession", "s", purge=True)
    await append(full, "s", said("1"), said("2"), new_session=spb.SessionFields())
    page = await call(full, "ListMessages", "s", page_token=token)
    assert [message.sequence for message in page.messages] == [2]
