"""Ids of channels and gateways come back unchanged in every call, answer and error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rpc_support import CHANNEL_IDS, ID_CHARACTERS, all_pages, append, call, fresh_id, get, said, stored
from stream_support import finish, header, stream, tool_call

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import fails
from support.talk import window

if TYPE_CHECKING:
    from support.service import Service

LONGEST = (ID_CHARACTERS * 3)[:256]
SIGNED = "_call " + "Zm9v+/==é" * 507 + "\n\"'"
"""A tool call's id that contains a provider's signature, as gateways make them."""


@pytest.mark.parametrize("message_id", [*CHANNEL_IDS, "wamid.HBgLMTU1NTAxMDA=", LONGEST])
async def test_message_ids_of_channels(shared: Service, message_id: str) -> None:
    """A retry finds the message by its id, alone and in a batch; the error for a reuse names the id."""
    session_id, message = fresh_id(), said(message_id=message_id)
    batch = [message, said(message_id=f"{message_id[:255]}2"), said(message_id="{a,b}")]
    for _ in range(2):
        assert (await append(shared, session_id, *batch, new_session=spb.SessionFields())).last_sequence == 3
    assert (await append(shared, session_id, message)).last_sequence == 3
    found = await call(shared, "GetMessage", session_id, sequence=None, message_id=message_id)
    assert (found.message.message_id, found.message.sequence) == (message_id, 1)
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED") as failure:
        await append(shared, session_id, said("other", message_id=message_id))
    assert failure.metadata["message_id"] == message_id


@pytest.mark.parametrize("session_id", [*CHANNEL_IDS, LONGEST, "%" * 256])
async def test_session_ids_of_channels(service: Service, session_id: str) -> None:
    """Lists, forks, resets and errors have the whole id, and no other session is found by it."""
    await append(service, session_id, said(), said(), new_session=spb.SessionFields())
    forked = (await call(service, "ForkSession", session_id, new_session_id="fork")).session
    assert forked.parent.session_id == session_id
    near = f"{session_id[:-1]}!"
    reset = await call(service, "ResetSession", "fork", new_session_id=near)
    assert (reset.session.session_id, reset.session.parent.session_id) == (near, "fork")
    pages = all_pages(service.stub.ListSessions, pb.ListSessionsRequest(page_size=1))
    listed = [page.sessions[0].session_id async for page in pages]
    assert sorted(listed) == sorted([session_id, "fork", near])
    with fails("NOT_FOUND", "SESSION_NOT_FOUND") as failure:
        await get(service, missing := f"{session_id[:-1]}^")
    assert failure.metadata["session_id"] == missing
    assert repr(missing) in failure.message


@pytest.mark.parametrize("how", ["alone", "together", "streamed"])
async def test_long_ids_of_tool_calls(shared: Service, how: str) -> None:
    """Tool calls with ids of 4,573 characters are stored, copied and returned in windows unchanged."""
    session_id = fresh_id()
    calls = [mpb.ToolCall(id=f"{place}{SIGNED}", name="f", arguments="{}") for place in range(2)]
    assert len(calls[0].id) == 4_573
    asked = mpb.Message(role=mpb.ROLE_ASSISTANT, message_id="calls", tool_calls=calls)
    results = [mpb.Message(role=mpb.ROLE_TOOL, tool_call_id=c.id, content=c.id[0]) for c in calls]
    await append(shared, session_id, said(), new_session=spb.SessionFields())
    if how == "streamed":
        pieces = [tool_call(n, id=c.id, name=c.name, arguments="{}") for n, c in enumerate(calls)]
        await stream(shared, header(session_id, "calls"), *pieces, finish())
        await append(shared, session_id, *results)
    else:
        for batch in [[asked, *results]] if how == "together" else [[asked], *([r] for r in results)]:
            await append(shared, session_id, *batch)
    await call(shared, "ForkSession", session_id, new_session_id=f"{session_id}-fork")
    for name in (session_id, f"{session_id}-fork"):
        for found in (await stored(shared, name), (await window(shared, name, max_messages=9)).messages):
            assert list(found[1].tool_calls) == calls
            assert [message.tool_call_id for message in found[2:]] == [c.id for c in calls]
