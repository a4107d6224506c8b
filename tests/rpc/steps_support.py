"""Short functions that store messages, and see where the windows of a growing session begin."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from rpc_support import append

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.talk import sequences, user

if TYPE_CHECKING:
    from support.service import Service


async def begin(service: Service, *messages: Any) -> None:
    """Store messages in one batch in the session "s", which is created if it is missing."""
    await append(service, "s", *messages, new_session={})


async def beginnings(service: Service, count: int, tokens: int, **limits: Any) -> list[tuple[int, int]]:
    """Append messages one by one; return the first sequence of their windows, and how often it came."""
    firsts = []
    for _ in range(count):
        request = pb.AppendMessageRequest(
            session_id="s", message=user(tokens), new_session={}, history=hpb.HistoryOptions(**limits)
        )
        response = await service.stub.AppendMessage(request)
        firsts.append(sequences(response.history)[0])
    return [(first, len([*windows])) for first, windows in groupby(firsts)]
