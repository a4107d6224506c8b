"""The options of a window: the request's, else the session's, else the model's, else the server's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rpc_support import append, create, get, update

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.talk import KEEP, OMIT, sequences, store, told, user, window

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

_NAMES = ("step_tokens", "step_messages", "unanswered_calls", "whole_responses")
_PATHS = [f"history_settings.{name}" for name in _NAMES]
_SET = {"step_tokens": 1, "step_messages": 0, "unanswered_calls": OMIT, "whole_responses": False}


async def _first(service: Service, name: str, **limits: Any) -> int:
    return sequences(await window(service, name, **limits))[0]


async def test_the_nearest_step_holds(serve: Serve, database_url: str) -> None:
    """The request comes before the session, the model and the server, for each step on its own."""
    service = await serve(
        database_url,
        history_max_messages=100,
        history_token_budget=100,
        history_step_tokens=40,
        history_step_messages=7,
        model_step_tokens={"m": 30, "none": 0},
    )
    cases: list[tuple[spb.SessionFields, dict[str, int], int]] = [
        (spb.SessionFields(), {}, 17),
        (spb.SessionFields(model="other"), {}, 17),
        (spb.SessionFields(model="m"), {}, 16),
        (spb.SessionFields(model="none"), {}, 15),
        (spb.SessionFields(model="m", history_settings={"step_tokens": 50}), {}, 16),
        (spb.SessionFields(model="m", history_settings={"step_tokens": 45}), {}, 19),
        (spb.SessionFields(model="m", history_settings={"step_tokens": 0}), {}, 15),
        (spb.SessionFields(model="m", history_settings={"step_messages": 50}), {}, 16),
        (spb.SessionFields(history_settings={"step_tokens": 45}), {"step_tokens": 0}, 15),
        (spb.SessionFields(model="m"), {"step_tokens": 40}, 17),
        (spb.SessionFields(model="m"), {"step_messages": 40}, 16),
        (spb.SessionFields(), {"max_messages": 17, "token_budget": 1_000}, 14),
        (spb.SessionFields(model="m"), {"max_messages": 17, "token_budget": 1_000}, 14),
        (spb.SessionFields(history_settings={"step_messages": 5}), {"max_messages": 17}, 17),
        (
            spb.SessionFields(history_settings={"step_messages": 5}),
            {"max_messages": 17, "step_tokens": 0, "token_budget": 1_000},
            10,
        ),
        (
            spb.SessionFields(history_settings={"step_messages": 5}),
            {"max_messages": 17, "step_messages": 0, "token_budget": 1_000},
            8,
        ),
    ]
    for number, (session, limits, expected) in enumerate(cases):
        name = f"s{number}"
        await append(service, name, *[user(10)] * 24, new_session=session)
        assert await _first(service, name, **limits) == expected, (session, limits)


async def test_the_nearest_options_hold(serve: Serve, database_url: str) -> None:
    """The request comes before the session and the server, for each option on its own."""
    servers = {
        "default": await serve(database_url),
        "keep": await serve(database_url, history_unanswered_calls="keep", history_whole_responses=False),
        "omit": await serve(database_url, history_unanswered_calls="omit", history_whole_responses=True),
    }
    talk = told("U, A, A, U, A[a], U")
    cases: list[tuple[str, dict[str, Any], dict[str, Any], list[int]]] = [
        ("default", {}, {}, [3, 4, 5, 6]),
        ("keep", {}, {}, [3, 4, 5, 6]),
        ("omit", {}, {}, [4, 6]),
        ("default", {"unanswered_calls": OMIT}, {}, [3, 4, 6]),
        ("default", {"whole_responses": True}, {}, [4, 5, 6]),
        ("omit", {"unanswered_calls": KEEP}, {}, [4, 5, 6]),
        ("omit", {"whole_responses": False}, {}, [3, 4, 6]),
        ("omit", {"whole_responses": False, "unanswered_calls": KEEP}, {}, [3, 4, 5, 6]),
        ("default", {"unanswered_calls": OMIT}, {"unanswered_calls": KEEP}, [3, 4, 5, 6]),
        ("default", {"unanswered_calls": OMIT}, {"whole_responses": True}, [4, 6]),
        ("default", {"whole_responses": True}, {"whole_responses": False}, [3, 4, 5, 6]),
        ("omit", {}, {"whole_responses": False}, [3, 4, 6]),
        ("omit", {}, {"unanswered_calls": KEEP}, [4, 5, 6]),
        ("omit", {"unanswered_calls": KEEP}, {"unanswered_calls": OMIT}, [4, 6]),
    ]
    for number, (server, settings, options, expected) in enumerate(cases):
        name = f"s{number}"
        session = spb.SessionFields(history_settings=settings)
        await append(servers[server], name, *talk, new_session=session)
        read = await window(servers[server], name, max_messages=4, **options)
        assert sequences(read) == expected, (server, settings, options)


async def test_the_window_of_an_append_has_the_sessions_options(service: Service) -> None:
    """The session's options hold for the window of an append, unless the append names others."""
    settings: Any = {"unanswered_calls": OMIT, "step_messages": 3, "max_messages": 6}
    await create(service, history_settings=settings)
    await store(service, *told("U, U, U, U, U, U, A[a]"))
    for options, expected in ({}, [3, 4, 5, 6, 8]), ({"unanswered_calls": KEEP}, [6, 7, 8, 9]):
        request = pb.AppendMessageRequest(
            session_id="s", message=user(1), history=hpb.HistoryOptions(**options)
        )
        assert sequences((await service.stub.AppendMessage(request)).history) == expected


async def test_updates_by_presence(service: Service) -> None:
    """An update without a mask changes the options that are set in it, also to zero and to false."""
    await create(service, history_settings=_SET)
    await update(service, "s", history_settings={"step_messages": 4, "unanswered_calls": KEEP})
    expected = spb.HistorySettings(**_SET | {"step_messages": 4, "unanswered_calls": KEEP})
    assert (await get(service)).history_settings == expected
    changed: Any = {"whole_responses": True, "step_tokens": 0}
    await update(service, "s", history_settings=changed)
    expected.MergeFrom(spb.HistorySettings(**changed))
    assert (await get(service)).history_settings == expected


async def test_updates_by_mask(service: Service) -> None:
    """A mask names an option by its path, changes no other one, and clears what is not set."""
    await create(service, history_settings=_SET)
    for path, name in zip(_PATHS, _NAMES, strict=True):
        other: dict[str, Any] = {"step_tokens": 8, "step_messages": 9, "unanswered_calls": KEEP}
        other["whole_responses"] = True
        await update(service, "s", path, history_settings=other)
        assert (await get(service)).history_settings == spb.HistorySettings(**_SET | {name: other[name]})
        await update(service, "s", path)
        left = {key: value for key, value in _SET.items() if key != name}
        assert (await get(service)).history_settings == spb.HistorySettings(**left)
        await update(service, "s", "history_settings", history_settings=_SET)
        assert (await get(service)).history_settings == spb.HistorySettings(**_SET)
    await update(service, "s", "history_settings")
    assert not (await get(service)).HasField("history_settings")


async def test_a_fork_and_a_reset_keep_the_options(service: Service) -> None:
    """A new session has the options of the session that it comes from, unless it is given others."""
    await create(service, history_settings=_SET)
    given = spb.SessionFields(history_settings={"step_messages": 3, "unanswered_calls": KEEP})
    expected = spb.HistorySettings(**_SET | {"step_messages": 3, "unanswered_calls": KEEP})
    forks = {"f1": None, "f2": given}
    for name, fields in forks.items():
        fork = pb.ForkSessionRequest(session_id="s", new_session_id=name, new_session=fields)
        await service.stub.ForkSession(fork)
    assert (await get(service, "f1")).history_settings == spb.HistorySettings(**_SET)
    assert (await get(service, "f2")).history_settings == expected
    reset = pb.ResetSessionRequest(session_id="f1", new_session_id="r", new_session=given)
    assert (await service.stub.ResetSession(reset)).session.history_settings == expected
    reset = pb.ResetSessionRequest(session_id="f2", new_session_id="r2")
    assert (await service.stub.ResetSession(reset)).session.history_settings == expected
