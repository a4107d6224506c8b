"""The DatabaseSessionService of Google's ADK, on asyncpg. Arguments: a libpq URL, and turns."""

from __future__ import annotations

import asyncio
import sys

from google.adk.events import Event
from google.adk.sessions import DatabaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

from benchmarks.peers import turns

_NAMES = {"app_name": "bench", "user_id": "bench"}
_RECENT = GetSessionConfig(num_recent_events=turns.WINDOW)


class _Conversation:
    def __init__(self, service: DatabaseSessionService, session: Session) -> None:
        self._service = service
        self._session = session

    async def turn(self) -> list[str]:
        await self._append("user", turns.USER_TEXT)
        window = await self._service.get_session(**_NAMES, session_id=self._session.id, config=_RECENT)
        texts = [event.content.parts[0].text for event in window.events]
        # ADK refuses to append to a session object that is older than the last read.
        self._session = window
        await self._append("model", turns.ASSISTANT_TEXT)
        return texts

    async def _append(self, role: str, text: str) -> None:
        content = types.Content(role=role, parts=[types.Part(text=text)])
        await self._service.append_event(self._session, Event(author=role, content=content))


async def _main(url: str, turns_each: int) -> None:
    async with DatabaseSessionService(turns.sqlalchemy_url(url), pool_size=turns.CONVERSATIONS) as service:
        await service.create_session(**_NAMES)

        async def begin(_place: int) -> _Conversation:
            return _Conversation(service, await service.create_session(**_NAMES))

        await turns.serve(begin, turns_each)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
