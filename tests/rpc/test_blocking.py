"""Requests of a legal size whose processing must not block other calls."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from rpc_support import call, create, fresh_id, get

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.limits import MIB
from sessionhistory_server.model.merge_patch import merge
from sessionhistory_server.store.sessions import state
from support.errors import fails
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from support.service import Service

# With quadratic cost these took hours, so that the deadline does not depend on the machine's speed.
QUOTES = '"' + '\\"' * (MIB // 2 - 1_000)
BRACKETS = "[" * (MIB - 1_000)

LARGE = '{"filler":"%s"}' % ("x" * 20_000)

WIDE = [
    ("statuses", pb.ListSessionsRequest(statuses=[1] * 4_000_000)),
    ("roles", pb.ListMessagesRequest(session_id="s", roles=[9] * 4_000_000)),
    (
        "update_mask.paths",
        pb.UpdateSessionRequest(session_id="s", update_mask={"paths": [""] * 10**6}),
    ),
    ("labels", pb.ListSessionsRequest(labels={str(i): "" for i in range(200_000)})),
    (
        "message.tool_calls",
        pb.AppendMessageRequest(session_id="s", message={"role": 3, "tool_calls": [{}] * 400_000}),
    ),
    ("message.parts", pb.AppendMessageRequest(session_id="s", message={"role": 3, "parts": [{}] * 400_000})),
    ("messages", pb.AppendMessagesRequest(session_id="s", messages=[{}] * 10**6)),
]


@pytest.mark.parametrize("text", [QUOTES, BRACKETS], ids=["quotes", "brackets"])
async def test_json_takes_time_by_its_length(shared: Service, text: str) -> None:
    """Text that is hard to parse as JSON is refused in one pass."""
    message = mpb.Message(role=mpb.ROLE_USER, parts=[mpb.Part(json=text)])
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await shared.stub.AppendMessage(
            pb.AppendMessageRequest(session_id="s", message=message), timeout=PATIENCE_SECONDS
        )
    assert list(failure.violations) == ["message.parts[0].json"]


@pytest.mark.parametrize(("field", "wide"), [pytest.param(f, w, id=f) for f, w in WIDE])
async def test_too_many_elements_are_not_looked_at(shared: Service, field: str, wide: Any) -> None:
    """A list that is too long is one violation, whatever its elements are."""
    method = type(wide).__name__.removesuffix("Request")
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await getattr(shared.stub, method)(wide, timeout=PATIENCE_SECONDS)
    assert list(failure.violations) == [field]


async def test_others_are_answered_while_a_large_state_is_merged(
    shared: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other calls are answered while a large merge runs, which may take a fifth of a second."""
    begun, answered = threading.Event(), threading.Event()

    def merge_late(target: str, patch: str) -> str:
        begun.set()
        assert answered.wait(PATIENCE_SECONDS)
        return merge(target, patch)

    monkeypatch.setattr(state, "merge", merge_late)
    await create(shared, session_id := fresh_id(), state=LARGE)
    updating = asyncio.create_task(call(shared, "UpdateState", session_id, patch='{"step":1}'))
    await until(begun.is_set)
    await get(shared, session_id)
    answered.set()
    assert (await updating).session.state == LARGE[:-1] + ',"step":1}'
