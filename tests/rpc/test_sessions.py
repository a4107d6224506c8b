"""Creating, reading, changing and deleting sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.errors import fails

from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from support.service import Service


async def test_a_created_session_can_be_read(service: Service) -> None:
    """GetSession returns what CreateSession returned."""
    created = await service.stub.CreateSession(pb.CreateSessionRequest(session_id="s"))
    read = await service.stub.GetSession(pb.GetSessionRequest(session_id="s"))
    assert created.created
    assert read.session == created.session


async def test_a_taken_id_is_already_exists(service: Service) -> None:
    """CreateSession does not replace a session."""
    await service.stub.CreateSession(pb.CreateSessionRequest(session_id="s"))
    with fails("ALREADY_EXISTS", "SESSION_EXISTS") as failure:
        await service.stub.CreateSession(pb.CreateSessionRequest(session_id="s"))
    assert failure.metadata == {"session_id": "s"}
