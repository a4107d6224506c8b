"""Concurrent patches of the state, also while the session ends: none is lost and none is torn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import call, create, get, race, request, said, stored

from sessionhistory.v1 import session_pb2 as spb

if TYPE_CHECKING:
    from support.service import Service


def _patch(number: int, **fields: Any) -> tuple[str, Any]:
    """Return a patch that sets a member of its own."""
    text = json.dumps({f"n{number}": number})
    return "UpdateState", request("UpdateState", "s", patch=text, **fields)


def _append(number: int, **fields: Any) -> tuple[str, Any]:
    """Return an append whose patch sets a member named after the message."""
    message = said(message_id=f"n{number}")
    patch = json.dumps({f"n{number}": number})
    fields = {"state_patch": patch} | fields
    if number % 2:
        return "AppendMessage", request("AppendMessage", "s", message=message, **fields)
    return "AppendMessages", request("AppendMessages", "s", messages=[message], **fields)


async def test_no_patch_is_lost(service: Service, stubs: list[Any]) -> None:
    """The state has every concurrent patch, with messages or without, beside appends and updates."""
    await create(service)
    calls = [_patch(number) if number % 3 else _append(number) for number in range(120)]
    calls += [("AppendMessage", request("AppendMessage", "s"))] * 30
    calls += [("UpdateSession", request("UpdateSession", "s"))] * 10
    answers = await race(stubs, calls)
    assert not [answer for answer in answers if isinstance(answer, str)]
    session = await get(service)
    assert json.loads(session.state) == {f"n{number}": number for number in range(120)}
    versions = [answer.session.state_version for answer in answers[:120] if hasattr(answer, "session")]
    versions += [answer.state_version for answer in answers[:120] if hasattr(answer, "state_version")]
    assert sorted(versions) == list(range(1, 121))
    assert (session.state_version, session.message_count) == (120, 70)


async def test_a_counter_by_expected_version(service: Service, stubs: list[Any]) -> None:
    """Of patches that expect the same version one succeeds; the others get the actual one."""
    await create(service)
    calls = [make(number, expected_state_version=0) for number in range(30) for make in (_patch, _append)]
    answers = await race(stubs, calls)
    assert answers.count("STATE_VERSION_MISMATCH") == 59
    session = await get(service)
    assert session.state_version == 1
    assert len(json.loads(session.state)) == 1
    (winner,) = (answer for answer in answers if answer != "STATE_VERSION_MISMATCH")
    assert session.message_count == len(await stored(service)) == int(hasattr(winner, "last_sequence"))


async def test_an_etag_sees_every_patch(service: Service, stubs: list[Any]) -> None:
    """An update with an earlier etag succeeds before all patches, or not at all."""
    etag = (await create(service)).etag
    guarded = spb.SessionFields(state='{"guarded":true}')
    calls = [_patch(number) for number in range(20)]
    calls[10:10] = [("UpdateSession", request("UpdateSession", "s", session=guarded, etag=etag))] * 5
    answers = await race(stubs, calls)
    updates = answers[10:15]
    state = json.loads((await get(service)).state)
    assert {name for name in state if name != "guarded"} == {f"n{number}" for number in range(20)}
    won = [update for update in updates if update != "ETAG_MISMATCH"]
    assert len(won) == ("guarded" in state)
    assert all(update.session.state_version == 1 for update in won)


@pytest.mark.parametrize("round_", range(3))
@pytest.mark.parametrize("end", ["delete", "purge", "complete"])
async def test_the_end_of_a_session_takes_messages_and_states_together(
    service: Service, stubs: list[Any], end: str, round_: int
) -> None:
    """An acknowledged append has its message and its state, or the session is gone."""
    await create(service)
    completed = spb.SessionFields(status=spb.SESSION_STATUS_COMPLETED)
    ending: tuple[str, Any] = ("DeleteSession", request("DeleteSession", "s", purge=end == "purge"))
    if end == "complete":
        ending = ("UpdateSession", request("UpdateSession", "s", session=completed))
    reason = "SESSION_NOT_ACTIVE" if end == "complete" else "SESSION_NOT_FOUND"
    calls = [_append(number) for number in range(60)]
    place = 15 * (round_ + 1)
    calls.insert(place, ending)
    answers = await race(stubs, calls)
    ended = answers.pop(place).session
    assert {answer for answer in answers if isinstance(answer, str)} <= {reason}
    kept = {f"n{number}" for number, answer in enumerate(answers) if answer != reason}
    assert set(json.loads(ended.state or "{}")) == kept
    assert ended.message_count == ended.state_version == len(kept)
    if end == "purge":
        made = await create(service)
        assert (made.state, made.state_version, await stored(service)) == ("", 0, [])
        return
    if end == "delete":
        await call(service, "UndeleteSession", "s")
    assert {message.message_id for message in await stored(service)} == kept


async def test_one_append_makes_the_session_and_all_patch_it(service: Service, stubs: list[Any]) -> None:
    """All appends with new_session patch the session that one of them creates.

    Every message is sent twice, and patches once.
    """
    calls = [_append(number % 20, new_session=spb.SessionFields(state='{"made":1}')) for number in range(40)]
    answers = await race(stubs, calls)
    assert sum(answer.session_created for answer in answers) == 1
    session = await get(service)
    assert json.loads(session.state) == {"made": 1} | {f"n{number}": number for number in range(20)}
    assert (session.state_version, session.message_count) == (20, 20)


async def test_purges_race_appends_that_make_the_session_anew(service: Service, stubs: list[Any]) -> None:
    """A session that was purged and created again has the messages and the state of its last life."""
    calls = [_append(number, new_session=spb.SessionFields()) for number in range(100)]
    for place in range(10, 100, 20):
        calls.insert(place, ("DeleteSession", request("DeleteSession", "s", purge=True, allow_missing=True)))
    assert not [answer for answer in await race(stubs, calls) if isinstance(answer, str)]
    await call(service, "AppendMessage", "s", new_session=spb.SessionFields())
    session = await get(service)
    ids = {message.message_id for message in await stored(service) if message.message_id.startswith("n")}
    assert set(json.loads(session.state or "{}")) == ids
    assert session.state_version == len(ids)
