"""Patches of states through the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from client_samples import JSON, fresh_id

from sessionhistory import Message, Role, SessionFields
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

HELLO = Message(role=Role.USER, content="hello")

# The state that a library for guided conversations keeps.
GUIDED: dict[str, Any] = {
    "collected": {"name": "Zoë", "order_id": 2**53 + 1, "account": 10**30, "price": 19.9, "newsletter": None},
    "routes": {"booking": {"guests": 2, "dates": ["2026-05-01", "2026-05-04"]}, "support": {}},
    "current_route": "booking",
    "current_step": {"id": "confirm", "prompted": True},
    "route_history": [{"route": "support", "at": 1_767_268_800_000_000_001}, {"route": "booking"}],
}


async def test_a_guided_conversation(client: Client) -> None:
    """The state is equal after each step, and integers are exact."""
    session_id = fresh_id()
    made = await client.create_session(session_id, SessionFields(state=GUIDED))
    assert (made.session.state, made.session.state_version) == (GUIDED, 0)
    patch = {"collected": {"order_id": 2**63 + 1, "price": None}, "current_step": {"id": "pay"}}
    patched = await client.update_state(session_id, patch)
    expected = GUIDED | {
        "collected": {"name": "Zoë", "order_id": 2**63 + 1, "account": 10**30, "newsletter": None},
        "current_step": {"id": "pay", "prompted": True},
    }
    assert (patched.state, patched.state_version) == (expected, 1)
    assert list(patched.state or ()) == list(GUIDED)
    history = [*GUIDED["route_history"], {"route": "payment", "at": 2**60 + 1}]
    appended = await client.append_message(
        session_id, HELLO, state_patch={"route_history": history, "current_route": None}
    )
    assert appended.state_version == 2
    del expected["current_route"]
    session = await client.get_session(session_id)
    assert (session.state, session.state_version) == (expected | {"route_history": history}, 2)


async def test_any_json_in_a_patch(client: Client) -> None:
    """JSON in a patch comes back as it is stored; ``None`` removes a member, except in a list."""
    session_id = fresh_id()
    await client.create_session(session_id)
    patched = await client.update_state(session_id, {"all": JSON, "list": [None, JSON]})
    kept = {name: value for name, value in JSON.items() if value is not None}
    assert patched.state == {"all": kept, "list": [None, JSON]}


async def test_what_a_patch_does_not_name_keeps_its_text(client: Client, shared: Service) -> None:
    """Numbers and texts that Python cannot represent survive a patch of another member."""
    session_id, text = fresh_id(), '{"price": 1e400 ,"twice":{"a":1,"a":2.50}, "\\u00e9": 1}'
    await client.create_session(session_id)
    await shared.stub.UpdateSession(pb.UpdateSessionRequest(session_id=session_id, session={"state": text}))
    patched = await client.update_state(session_id, {"step": "pay", "é": None})
    assert patched.state_version == 2
    answer = await shared.stub.GetSession(pb.GetSessionRequest(session_id=session_id))
    assert answer.session.state == text.replace(', "\\u00e9": 1', ',"step":"pay"')


async def test_appends_and_versions(client: Client) -> None:
    """An append returns the version if the request names the state; a retry does not patch again."""
    session_id = fresh_id()
    plain = await client.append_message(session_id, HELLO, new_session=SessionFields(state={"n": 1}))
    assert plain.state_version is None
    messages = [Message(role=Role.USER), Message(role=Role.ASSISTANT)]
    for _ in range(2):
        several = await client.append_messages(
            session_id, messages, state_patch={"n": 2}, expected_state_version=0
        )
        assert several.state_version == 1
    expecting = await client.append_messages(session_id, [Message(role=Role.USER)], expected_state_version=1)
    assert (expecting.state_version, expecting.last_sequence) == (1, 4)
    assert (await client.get_session(session_id)).state == {"n": 2}
