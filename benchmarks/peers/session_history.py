"""Session History, through its asyncio client. Arguments: the server's address, turns, API key or ""."""

from __future__ import annotations

import asyncio
import sys
import uuid
from dataclasses import dataclass

from benchmarks.peers import turns
from sessionhistory import AsyncSessionHistoryClient, HistoryOptions, Message, Role, SessionFields

_WINDOW = HistoryOptions(max_messages=turns.WINDOW)
_SESSION = SessionFields()


@dataclass(frozen=True, slots=True)
class _Conversation:
    client: AsyncSessionHistoryClient
    session_id: str

    async def turn(self) -> list[str]:
        appended = await self.client.append_message(
            self.session_id,
            Message(role=Role.USER, content=turns.USER_TEXT),
            user_id="bench",
            new_session=_SESSION,
            history=_WINDOW,
        )
        await self.client.append_message(
            self.session_id, Message(role=Role.ASSISTANT, content=turns.ASSISTANT_TEXT)
        )
        assert appended.history
        return [message.content or "" for message in appended.history.messages]


async def _main(target: str, turns_each: int, key: str) -> None:
    async with AsyncSessionHistoryClient(target, key=key or None) as client:

        async def begin(_place: int) -> _Conversation:
            return _Conversation(client, str(uuid.uuid4()))

        await turns.serve(begin, turns_each)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
