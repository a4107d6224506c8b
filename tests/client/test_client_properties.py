"""Any message is read as it was appended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from client_samples import fresh_id, sent
from client_strategies import messages
from hypothesis import given, settings

from sessionhistory import Message, SessionFields, SessionHistoryClient

if TYPE_CHECKING:
    from support.service import Service


async def test_any_message(shared: Service) -> None:
    """The message that is read has all fields of the appended one, of the same types."""

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(message=messages())
    def check(message: Message) -> None:
        session_id = fresh_id()
        result = client.append_message(session_id, message, new_session=SessionFields())
        read = client.get_message(session_id, message_id=message.message_id)
        assert read == result.message
        assert sent(read) == sent(message)
        assert (repr(read.metadata), repr(read.parts)) == (repr(message.metadata), repr(message.parts))

    # Hypothesis knows no async, so the client for threads runs in a thread.
    with SessionHistoryClient(shared.address) as client:
        await asyncio.to_thread(check)
