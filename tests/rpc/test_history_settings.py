"""The limits of a window: the request's, else the session's, else the model's, else the server's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.talk import MAX_MESSAGES, NONE, TOKEN_BUDGET, sequences, store, user, window

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory.v1 import history_pb2 as hpb
    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

# Thirty messages of ten tokens: a budget of N tokens holds N / 10 of them.
TALK = [user(10) for _ in range(30)]


async def _length(service: Service, **limits: Any) -> int:
    return len((await window(service, **limits)).messages)


async def test_the_servers_default_is_twenty_messages(service: Service) -> None:
    """Without any limit set, a window holds the newest 20 messages of any number of tokens."""
    await store(service, *(user(100_000_000) for _ in range(21)))
    read = await window(service)
    assert (sequences(read), read.cut) == (list(range(2, 22)), MAX_MESSAGES)
    assert read.total_tokens == 2_000_000_000


# The server: 8 messages, 70 tokens, 50 for model m, none for model none.
CASES: list[tuple[spb.SessionFields, dict[str, int], int, hpb.HistoryCut]] = [
    (spb.SessionFields(), {}, 7, TOKEN_BUDGET),
    (spb.SessionFields(model="other"), {}, 7, TOKEN_BUDGET),
    (spb.SessionFields(model="m"), {}, 5, TOKEN_BUDGET),
    (spb.SessionFields(model="none"), {}, 0, TOKEN_BUDGET),
    (spb.SessionFields(model="M"), {}, 7, TOKEN_BUDGET),
    # The session's own limits take precedence over the model's and the server's.
    (spb.SessionFields(model="m", history_settings={"token_budget": 60}), {}, 6, TOKEN_BUDGET),
    (spb.SessionFields(model="m", history_settings={"token_budget": 0}), {}, 0, TOKEN_BUDGET),
    (spb.SessionFields(model="m", history_settings={"max_messages": 3}), {}, 3, MAX_MESSAGES),
    (spb.SessionFields(model="m", history_settings={"max_messages": 9}), {}, 5, TOKEN_BUDGET),
    (spb.SessionFields(history_settings={"max_messages": 0}), {}, 0, MAX_MESSAGES),
    (spb.SessionFields(history_settings={"max_messages": 25, "token_budget": 999}), {}, 25, MAX_MESSAGES),
    # The request's limits take precedence over all others; each limit on its own.
    (spb.SessionFields(), {"token_budget": 30}, 3, TOKEN_BUDGET),
    (spb.SessionFields(), {"token_budget": 300}, 8, MAX_MESSAGES),
    (spb.SessionFields(model="m"), {"token_budget": 80}, 8, MAX_MESSAGES),
    (spb.SessionFields(model="m"), {"token_budget": 79}, 7, TOKEN_BUDGET),
    (spb.SessionFields(model="m"), {"max_messages": 30}, 5, TOKEN_BUDGET),
    (spb.SessionFields(history_settings={"max_messages": 3}), {"max_messages": 6}, 6, MAX_MESSAGES),
    (spb.SessionFields(history_settings={"token_budget": 10}), {"token_budget": 60}, 6, TOKEN_BUDGET),
    (spb.SessionFields(history_settings={"token_budget": 10}), {"max_messages": 5}, 1, TOKEN_BUDGET),
    (
        spb.SessionFields(model="m", history_settings={"max_messages": 1, "token_budget": 1}),
        {"max_messages": 30, "token_budget": 300},
        30,
        NONE,
    ),
]


async def test_the_nearest_limit_holds(serve: Serve, database_url: str) -> None:
    """The request comes before the session, the model and the server, for each limit on its own."""
    service = await serve(
        database_url,
        history_max_messages=8,
        history_token_budget=70,
        model_token_budgets={"m": 50, "none": 0},
    )
    for number, (session, limits, expected, cut) in enumerate(CASES):
        name = f"s{number}"
        batch = pb.AppendMessagesRequest(session_id=name, messages=TALK, new_session=session)
        await service.stub.AppendMessages(batch)
        read = await window(service, name, **limits)
        assert (len(read.messages), read.cut) == (expected, cut), (session, limits)


async def test_settings_hold_from_their_update_on(serve: Serve, database_url: str) -> None:
    """A change of the session's settings or model applies to the next window."""
    service = await serve(database_url, model_token_budgets={"m": 100})
    await service.stub.AppendMessages(
        pb.AppendMessagesRequest(session_id="s", messages=TALK, new_session=spb.SessionFields(model="m"))
    )
    assert await _length(service) == 10

    async def update(path: str, **fields: Any) -> int:
        session, mask = spb.SessionFields(**fields), {"paths": [path]}
        request = pb.UpdateSessionRequest(session_id="s", session=session, update_mask=mask)
        await service.stub.UpdateSession(request)
        return await _length(service)

    settings = spb.HistorySettings(max_messages=4, token_budget=150)
    assert await update("history_settings", history_settings=settings) == 4
    assert await update("history_settings.max_messages") == 15
    assert await update("history_settings.token_budget") == 10
    assert await update("model", model="other") == 20
    assert await update("history_settings", history_settings={"token_budget": 0}) == 0
    assert await update("history_settings") == 20


@pytest.mark.parametrize("owner", ["request", "session", "server"])
async def test_more_than_a_thousand_messages_is_a_thousand(
    serve: Serve, database_url: str, owner: str
) -> None:
    """The cap of 1,000 messages applies to every limit, and paging goes on from there."""
    most = 5_000
    service = await serve(database_url, history_max_messages=most if owner == "server" else 20)
    settings = spb.HistorySettings(max_messages=most) if owner == "session" else None
    for _ in range(3):
        await service.stub.AppendMessages(
            pb.AppendMessagesRequest(
                session_id="s",
                messages=[user(1)] * 400,
                new_session=spb.SessionFields(history_settings=settings),
            )
        )
    limits = {"max_messages": most} if owner == "request" else {}
    read = await window(service, **limits)
    assert (sequences(read), read.cut) == (list(range(201, 1_201)), MAX_MESSAGES)
    assert (read.omitted_message_count, read.next_before_sequence) == (200, 201)
    older = await window(service, before_sequence=201, **limits)
    assert (sequences(older), older.cut) == (list(range(1, 201)), NONE)
